"""From the verdicts of findings to that of an audit."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from privaudit.results.record import Finding, Missing


class Verdict(StrEnum):
    """What a finding, or a whole audit, says. Never a bare pass."""

    LEAK = "LEAK"
    NO_LEAK_DETECTED = "NO LEAK DETECTED"
    INCONCLUSIVE = "INCONCLUSIVE"


SILENT: Final = "say nothing, as these attacks do worse than not looking; others, which do not, found no leak either"
"""Of findings that decide nothing because their attack is not made for the scheme."""
NOT_MADE_FOR_IT: Final = "say nothing, as these attacks do not fit the scheme; others, which do, found no leak either"
"""The same where an attack says so itself."""
UNFIT: Final = "the attack is not made for such schemes"
"""How the reason of such a finding begins."""
MISFIT: Final = "it does not fit this scheme"
"""How the reason ends of one that does worse than not looking."""


def overall(findings: Sequence[Finding], missing: Sequence[Missing]) -> tuple[Verdict, str]:
    """The audit's verdict: the worst primary one; something missing, or nothing at all, is never a pass."""
    primary = [finding for finding in findings if finding.role == "primary"]
    leaks = [finding for finding in primary if finding.verdict is Verdict.LEAK]
    open_ = [f for f in primary if f.verdict is not Verdict.NO_LEAK_DETECTED and not covered(f, primary)]
    # A supporting protocol (fewer views, say) has no control, so it cannot decide; but neither may its leak be passed.
    deciding = {finding.metric for finding in primary}
    hints = [
        finding
        for finding in findings
        if finding.role == "secondary"
        and finding.metric in deciding
        and finding.baseline is not None
        and finding.baseline.ci is not None
        and finding.baseline.ci[0] > finding.margin
    ]
    if leaks:
        return Verdict.LEAK, f"{len(leaks)} of {len(primary)} primary findings leak"
    if missing:
        return Verdict.INCONCLUSIVE, f"{len(missing)} attack(s) asked for did not finish"
    if not primary:
        return Verdict.INCONCLUSIVE, "no attack with a verdict was run"
    if hints:
        return Verdict.INCONCLUSIVE, f"{hints[0].key} supports a leak that no deciding figure shows"
    if open_:
        return Verdict.INCONCLUSIVE, f"{len(open_)} of {len(primary)} primary findings are inconclusive"
    silent = [finding for finding in primary if finding.verdict is Verdict.INCONCLUSIVE]
    why = NOT_MADE_FOR_IT if any(finding.reason.startswith(UNFIT) for finding in silent) else SILENT
    rest = f"; {len(silent)} of them {why}" if silent else ""
    return Verdict.NO_LEAK_DETECTED, f"none of {len(primary)} primary findings leaks, and every control was found{rest}"


def covered(finding: Finding, among: Sequence[Finding]) -> bool:
    """Whether an attack that does not fit the scheme stands beside one that does and found nothing, on the same victim.

    What does worse than not looking, or says itself that it is not made for the scheme, says nothing, for or against:
    the other's silence is what counts.
    """
    same = [f for f in among if (f.victim, f.metric) == (finding.victim, finding.metric)]
    return not finding.fits and any(f.fits and f.verdict is Verdict.NO_LEAK_DETECTED for f in same)
