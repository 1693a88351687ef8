"""Why an audit decided nothing, and what to try: from the record alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from privaudit.results.overall import Verdict, covered
from privaudit.results.record import Finding, Record
from privaudit.results.words import attack_name, control_word

MORE_PEOPLE: Final = "more people ('privaudit plan' says how many a pass needs)"
BATTERY: Final = "the standard battery (leave --attack out), which holds attacks for other kinds of schemes"


def undecided(record: Record) -> list[Finding]:
    """The deciding findings that are INCONCLUSIVE and keep the audit from a verdict."""
    primary = record.primary()
    return [f for f in primary if f.verdict is Verdict.INCONCLUSIVE and not covered(f, primary)]


def reasons(record: Record) -> list[str]:
    """Each undecided finding with its reason; where several have the same, once, with how many more there are."""
    by_reason: dict[str, list[Finding]] = {}
    for finding in undecided(record):
        by_reason.setdefault(finding.reason, []).append(finding)
    return [
        f"{attack_name(found[0])}{f' and {len(found) - 1} more' if len(found) > 1 else ''}: {reason}"
        for reason, found in by_reason.items()
    ]


def to_try(record: Record) -> list[str]:
    """What may decide an INCONCLUSIVE audit, each once; empty where there is a verdict."""
    return list(dict.fromkeys(_steps(record))) if record.verdict is Verdict.INCONCLUSIVE else []


def _steps(record: Record) -> Iterator[str]:
    if record.missing:
        yield "the same command again, when what stopped the attack is mended: finished work is kept"
    if not record.primary():
        yield BATTERY
        return
    for finding in undecided(record):
        yield _step(finding, record)
    if not record.missing and not undecided(record):
        yield "the same attack with other options: a supporting figure leaks, and no deciding one looks there"


def _step(finding: Finding, record: Record) -> str:
    least = record.settings.get("scoring", {}).get("min_subjects", 0)
    if finding.baseline is None or finding.baseline.ci is None or finding.n_subjects < least:
        return MORE_PEOPLE
    if not finding.fits:
        return BATTERY
    if control_word(finding) in ("MISSED", "–"):
        return f"a stronger attack than {finding.attack}, such as those of --budget full: it misses what is planted"
    if any(not h.passed for h in record.health if (h.attack, h.protocol) == (finding.attack, finding.protocol)):
        return f"other options of {finding.attack}: it failed a check of itself"
    if "all similarities are equal" in finding.reason:
        return BATTERY
    return MORE_PEOPLE


def verdict_line(record: Record) -> str:
    """The verdict with its reason; where it is INCONCLUSIVE, also with what stands behind that, and what to try."""
    line = f"{record.verdict}: {record.reason}"
    if record.verdict is not Verdict.INCONCLUSIVE:
        return line
    found = reasons(record)
    more = f" (and {len(found) - 2} other reasons)" if len(found) > 2 else ""
    behind = f" ({'; '.join(found[:2])}{more})" if found else ""
    return f"{line}{behind}. To try: {'; or '.join(to_try(record))}"
