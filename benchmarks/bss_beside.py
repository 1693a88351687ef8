"""The paper's own attack beside those on all requests, on the same few patches of each scan.

Separation takes seconds a patch, so that only the patches with most tissue are attacked. The others attack whole scans,
and are scored on those patches alone. Nobody decides anything here: no leak is planted, and attacks are not tried on
what the attacker holds, which ``privaudit attack bss`` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from privaudit.auditing.opening import Settings
from privaudit.auditing.run import run_audit
from privaudit.auditing.spec import parse_spec
from privaudit.contracts.attack import Protocol
from privaudit.contracts.references import lent
from privaudit.results.record import Record
from privaudit.results.words import interval, number
from privaudit_attacks.average import AverageAttack
from privaudit_attacks.bss import BssAttack
from privaudit_attacks.joint import JointAttack

BESIDE: Final = ("as-is", "average", "joint")


def columns(patches: int) -> list[str]:
    """Heads of the columns."""
    return [
        f"bss on {patches} patches, MS-SSIM", *(f"{name} on the same" for name in BESIDE), "bss less joint on the same",
    ]  # fmt: skip


def _standing(protocols: tuple[Protocol, ...]) -> tuple[Protocol, ...]:
    """The one that decides elsewhere, and only stands beside here."""
    return tuple(replace(protocol, primary=False) for protocol in protocols if protocol.primary)


class AverageBeside(AverageAttack):
    """``average`` of all views."""

    trivial = True

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """Of all views."""
        return _standing(super().protocols(views_sent))


class JointBeside(JointAttack):
    """``joint`` of all requests."""

    trivial = True

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """Of all views."""
        return _standing(super().protocols(views_sent))


class BssBeside(BssAttack):
    """``bss`` of the first view."""

    trivial = True
    beside = ()  # type: ignore[assignment]  # "wiener" is "average" with one view

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """Of one view."""
        return _standing(super().protocols(views_sent))


def cells(data: Mapping[str, Any], options: Mapping[str, Any], out: Path) -> list[str]:
    """Figures of one setting, about the person scanned.

    Args:
        data: specification of the setting's audit; its attacks are replaced.
        options: of bss: how many patches of each scan, and which prior.
        out: folder of the runs.
    """
    with ExitStack() as stack:
        average, joint, bss = (stack.enter_context(lent(a)) for a in (AverageBeside, JointBeside, BssBeside))
        asked = [average, joint, {"name": bss, **options}]
        spec = parse_spec({**data, "attacks": asked}, "python -m benchmarks settings --bss")
        record = run_audit(spec, Settings(out=out / spec.digest, device="cpu", quiet=True)).record
    return row(record)


def row(record: Record) -> list[str]:
    """The cells of a finished audit; a dash where nothing was scored."""
    found = [f for f in record.findings if (f.attack, f.metric, f.victim) == ("bss", "ms_ssim", "target")]
    if not found:
        return ["did not finish" if record.missing else "–", *["–"] * (1 + len(BESIDE))]
    beside = {comparison.name: comparison for comparison in found[0].comparisons}
    lead = beside["joint"]
    return [
        interval(found[0].estimate, found[0].ci), *(number(beside[name].estimate) for name in BESIDE),
        interval(lead.difference, lead.ci, signed=True),
    ]  # fmt: skip
