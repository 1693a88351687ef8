"""Figures in words, for whatever shows a record: numbers, intervals, names."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

from privaudit.results.record import Finding, Interval


def number(value: float | None, signed: bool = False) -> str:
    """Three decimals, or a dash.

    >>> number(0.5), number(0.5, signed=True), number(None)
    ('0.500', '+0.500', '–')
    """
    if value is None:
        return "–"
    return f"{value:+.3f}" if signed else f"{value:.3f}"


def told(value: float | None) -> str:
    """A figure that may be a count: whole numbers have no decimals.

    >>> told(75.0), told(0.5), told(None)
    ('75', '0.500', '–')
    """
    return f"{value:.0f}" if value is not None and value == int(value) and abs(value) >= 2 else number(value)


def interval(value: float | None, ci: Interval | None, signed: bool = False) -> str:
    """An estimate and its interval.

    >>> interval(0.812, (0.79, 0.833))
    '0.812 [0.790, 0.833]'
    """
    text = number(value, signed)
    return text if ci is None or value is None else f"{text} [{number(ci[0], signed)}, {number(ci[1], signed)}]"


def without_looking(finding: Finding) -> tuple[str, str]:
    """The best attacker who does not look, with its figure, and the difference to it; dashes where there is none."""
    base = finding.baseline
    if base is None:
        return "–", "–"
    return f"{base.name} {number(base.estimate)}", interval(base.difference, base.ci, signed=True)


def control_word(finding: Finding) -> str:
    """What became of the planted leak: found, missed, or seen with too few people to say that it was not chance."""
    control = finding.control
    if control is None:
        return "–"
    if control.passed:
        return "found"
    beyond = control.difference is not None and control.difference > finding.margin
    return "too few people" if beyond else "MISSED"


def roles_text(people: int, split: Mapping[str, int]) -> str:
    """How many people play which part, and how many play none.

    >>> roles_text(10, {"victims": 5, "pool": 2, "population": 2})
    '5 victims, 2 pool, 2 population; 1 without a role'
    """
    idle = people - sum(split.values())
    return ", ".join(f"{count} {role}" for role, count in split.items()) + (f"; {idle} without a role" if idle else "")


def attack_name(finding: Finding) -> str:
    """Attack and protocol; a protocol called 'default' goes without saying."""
    return finding.attack if finding.protocol == "default" else f"{finding.attack}, {finding.protocol}"


def over_seeds(finding: Finding) -> str:
    """Mean and standard deviation over repeated trainings, if there were any."""
    line = next((line for line in finding.curves if line.name.startswith("training, ")), None)
    if line is None or len(line.y) < 2:
        return "–"
    return f"{statistics.mean(line.y):.3f} ± {statistics.stdev(line.y):.3f} ({len(line.y)})"
