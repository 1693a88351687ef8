"""Comparing two records: better, worse, or no significant change, where a comparison means anything."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from privaudit.results.record import Finding, Record

Change = Literal["better", "worse", "no significant change", "only in A", "only in B", "no figure"]


def comparable(a: Record, b: Record) -> list[str]:
    """Reasons why the two cannot be compared; none if they can. Defenses may differ: that is what is compared."""
    pairs = {
        "dataset": (a.dataset.name, b.dataset.name),
        "data fingerprint": (a.dataset.fingerprint[:12], b.dataset.fingerprint[:12]),
        "simulated": (a.dataset.simulated, b.dataset.simulated),
        "split": (a.dataset.split, b.dataset.split),
        "seed": (a.seed, b.seed),
        "MS-SSIM": (a.settings.get("ms_ssim"), b.settings.get("ms_ssim")),
        "confidence": tuple(r.settings.get("scoring", {}).get("confidence") for r in (a, b)),
    }
    return [f"{name} differs ({one} and {two})" for name, (one, two) in pairs.items() if one != two]


@dataclass(frozen=True)
class Row:
    """One figure in both records; ``growth`` is positive where B leaks more."""

    key: str
    a: float | None
    b: float | None
    growth: float | None
    noise: float | None
    change: Change


def compare(a: Record, b: Record) -> list[Row]:
    """Compare the primary findings of two comparable records.

    The runs are taken as independent, so the half-widths of their intervals add in quadrature; for runs on the same
    people that is cautious. The number of views differs between defenses, so protocols are matched by attack where each
    record has one primary protocol of it.
    """
    left, right = _by_key(a), _by_key(b)
    rows = []
    for key in list(dict.fromkeys([*left, *right])):
        one, two = left.get(key), right.get(key)
        if one is None or two is None:
            only: Change = "only in A" if one else "only in B"
            rows.append(Row(key, _estimate(one), _estimate(two), None, None, only))
        else:
            rows.append(_row(key, one, two))
    return rows


def _estimate(finding: Finding | None) -> float | None:
    return None if finding is None else finding.estimate


def _by_key(record: Record) -> dict[str, Finding]:
    """Primary findings; the protocol is left out of the key where the attack has only one for that victim."""
    primary = record.shown()
    short = {f.key: f"{f.attack}/{f.victim}/{f.metric}" for f in primary}
    names = list(short.values())
    return {short[f.key] if names.count(short[f.key]) == 1 else f.key: f for f in primary}


def _row(key: str, one: Finding, two: Finding) -> Row:
    if one.estimate is None or two.estimate is None or one.ci is None or two.ci is None:
        return Row(key, one.estimate, two.estimate, None, None, "no figure")
    growth = (two.estimate - one.estimate) * (1 if one.higher_is_leakier else -1)
    noise = math.hypot(one.ci[1] - one.ci[0], two.ci[1] - two.ci[0]) / 2
    change: Change = "no significant change"
    if abs(growth) > noise:
        change = "worse" if growth > 0 else "better"
    return Row(key, one.estimate, two.estimate, growth, noise, change)


def compare_text(rows: list[Row]) -> str:
    """One line per figure."""

    def show(value: float | None) -> str:
        return "–" if value is None else f"{value:.3f}"

    width = max((len(row.key) for row in rows), default=0)
    lines = []
    for row in rows:
        span = "" if row.growth is None or row.noise is None else f"  leakier by {row.growth:+.3f} ±{row.noise:.3f}"
        lines.append(f"{row.key:<{width}}  {show(row.a)} → {show(row.b)}{span}  {row.change}")
    return "\n".join(lines) + "\n"
