"""The gate: does a new record leak more than the committed baseline? Silence, gaps and doubts never pass."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from privaudit.errors import OptionError
from privaudit.results import ci_formats
from privaudit.results.baseline import Baseline, BaselineFinding, scoring_of
from privaudit.results.ci_formats import Case, State
from privaudit.results.overall import Verdict, covered
from privaudit.results.record import Finding, Record

Status = Literal["ok", "known leak", "accepted", "regressed", "unclear", "incomplete"]
EXIT_CODES: dict[Status, int] = {
    "ok": 0, "known leak": 0, "accepted": 0, "regressed": 1, "unclear": 3, "incomplete": 3,
}  # fmt: skip


@dataclass(frozen=True)
class Item:
    """One comparison's outcome."""

    name: str
    status: Status
    message: str


@dataclass(frozen=True)
class GateResult:
    """All outcomes; the worst decides, and a regression outranks a doubt."""

    items: tuple[Item, ...]

    @property
    def exit_code(self) -> int:
        """0 fine, 1 leakage grew, 3 inconclusive or incomplete."""
        codes = {EXIT_CODES[item.status] for item in self.items}
        return 1 if 1 in codes else 3 if 3 in codes or not codes else 0

    def cases(self) -> list[Case]:
        """The outcomes as CI sees them."""
        states: dict[int, State] = {0: "passed", 1: "failure", 3: "error"}
        return [Case(i.name, states[EXIT_CODES[i.status]], f"{i.status}: {i.message}") for i in self.items]

    def junit(self) -> str:
        """JUnit XML."""
        return ci_formats.junit("privaudit check", self.cases())

    def sarif(self) -> str:
        """SARIF 2.1.0."""
        return ci_formats.sarif(self.cases())

    def text(self) -> str:
        """One line per outcome, and the verdict."""
        words = {0: "leakage has not grown", 1: "LEAKAGE HAS GROWN", 3: "INCONCLUSIVE OR INCOMPLETE: this is no pass"}
        lines = [f"{item.status:<11} {item.name}: {item.message}" for item in self.items]
        return "\n".join([*lines, words[self.exit_code]]) + "\n"


def check(record: Record, baseline: Baseline, tolerance: float = 0.02, allow_known_leaks: bool = True) -> GateResult:
    """Compare a record with the baseline.

    A figure *regressed* if its verdict became LEAK, or if it grew by more than the tolerance with the growth clear of
    both runs' intervals (their half-widths added in quadrature). Growth beyond the tolerance that is not clear is
    *unclear*. A figure that is missing, not finite, rests on fewer people or other knowledge or options, is
    INCONCLUSIVE, or whose control was missed is *incomplete*. A leak that the baseline accepted passes as *known leak*
    while it does not grow, and an INCONCLUSIVE figure that it accepted as *accepted* while it does not move. Everything
    must be on the same people, seed and scoring; the defense's options may change, for that is what a gate watches.

    Raises:
        OptionError: the tolerance is no number from 0 to 1.
    """
    if not 0 <= tolerance <= 1:
        raise OptionError("the tolerance must be a number from 0 to 1: no figure grows by more", got=tolerance)
    return GateResult(
        (
            *_mismatches(record, baseline),
            *(Item(f"{m.attack}/{m.protocol}", "incomplete", f"did not finish: {m.error}") for m in record.missing),
            *_compare_findings(record, baseline, tolerance, allow_known_leaks),
        )
    )


def _mismatches(record: Record, baseline: Baseline) -> Iterator[Item]:
    pairs = {
        "dataset": (record.dataset.name, baseline.dataset),
        "data fingerprint": (record.dataset.fingerprint, baseline.fingerprint),
        "split": (record.dataset.split, baseline.split),
        "defense": (record.defense.name, baseline.defense),
        "seed": (record.seed, baseline.seed),
        "scoring": (scoring_of(record), baseline.scoring),
    }
    for name, (now, then) in pairs.items():
        if now != then:
            yield Item(name, "incomplete", f"not comparable: now {now}, in the baseline {then}")


def _compare_findings(record: Record, baseline: Baseline, tolerance: float, allow_known_leaks: bool) -> Iterator[Item]:
    now = {finding.key: finding for finding in record.shown()}
    for then in baseline.findings:
        finding = now.pop(then.key, None)
        if finding is None:
            yield Item(then.key, "incomplete", "the baseline has this figure, and the run has not")
        else:
            beside = covered(finding, record.primary())
            yield Item(then.key, *_compare_one(finding, then, tolerance, allow_known_leaks, beside))
    if not baseline.findings:
        yield Item("baseline", "incomplete", "it holds no figure to compare with")
    for key, finding in now.items():
        if finding.verdict is Verdict.LEAK:
            yield Item(key, "regressed", f"not in the baseline, and leaks: {finding.reason}")
        elif finding.role == "trivial" or covered(finding, record.primary()):
            yield Item(key, "ok", f"not in the baseline; {finding.reason}")
        elif finding.verdict is Verdict.NO_LEAK_DETECTED and _control_found(finding):
            yield Item(key, "ok", "not in the baseline; no leak detected")
        else:
            yield Item(key, "incomplete", f"not in the baseline, and undecided: {finding.reason}")


def _control_found(finding: Finding) -> bool:
    return finding.control is not None and finding.control.passed


def _compare_one(
    finding: Finding, then: BaselineFinding, tolerance: float, allow_known_leaks: bool, beside: bool
) -> tuple[Status, str]:
    old, new = then.estimate, finding.estimate
    leaks_now, leaked_then = finding.verdict is Verdict.LEAK, then.verdict is Verdict.LEAK
    if leaks_now and not leaked_then:
        return "regressed", f"verdict was {then.verdict}, is LEAK: {finding.reason}"
    undecided = finding.verdict is Verdict.INCONCLUSIVE
    if old is None or new is None or not math.isfinite(old + new) or finding.ci is None or then.ci is None:
        if then.accepted and undecided and old == new:
            return "accepted", f"INCONCLUSIVE, as in the baseline: {finding.reason}"
        return "incomplete", "a figure or its interval does not exist"
    growth = (new - old) * (1 if finding.higher_is_leakier else -1)
    noise = math.hypot(finding.ci[1] - finding.ci[0], then.ci[1] - then.ci[0]) / 2
    change = f"{old:.3f} → {new:.3f}, leakier by {growth:+.3f} (±{noise:.3f}, tolerance {tolerance:g})"
    if growth > tolerance and growth > noise:
        return "regressed", change
    if finding.n_subjects < then.n_subjects:
        return "incomplete", f"rests on {finding.n_subjects} people, in the baseline on {then.n_subjects}"
    if sorted(finding.knowledge) != sorted(then.knowledge) or finding.params != then.params:
        return "incomplete", "the attack's knowledge or options are not those of the baseline"
    now = finding.control.limit if finding.control else None
    if then.limit is not None and (now is None or now > then.limit):
        told = "not known" if now is None else f"{now:.0%}"
        return "incomplete", f"its detection limit was {then.limit:.0%} of the raw image, and is {told}"
    if growth > tolerance:
        return "unclear", f"{change}: beyond the tolerance, but not clear of the intervals; more people decide"
    if leaks_now:
        return ("known leak" if allow_known_leaks else "regressed"), change
    if finding.role == "trivial" or beside:
        return "ok", f"{change}; {finding.reason}"
    if then.accepted and undecided:
        moved = abs(growth) > tolerance
        told = "INCONCLUSIVE, and it has moved since the baseline" if moved else "INCONCLUSIVE, as in the baseline"
        return ("incomplete" if moved else "accepted"), f"{change}; {told}: {finding.reason}"
    if finding.verdict is not Verdict.NO_LEAK_DETECTED or not _control_found(finding):
        return "incomplete", f"{finding.verdict}: {finding.reason}"
    return "ok", change


def verdict_exit(record: Record) -> int:
    """Exit code of a record on its own: 0 no leak detected, 1 leak, 3 inconclusive."""
    return {Verdict.NO_LEAK_DETECTED: 0, Verdict.LEAK: 1, Verdict.INCONCLUSIVE: 3}[record.verdict]
