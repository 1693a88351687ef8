"""Deciding: from a difference, its interval and the positive control to one of three words."""

from __future__ import annotations

import math

from privaudit.results.record import Control, Interval, Verdict
from privaudit.scoring.stats import clopper_pearson

EXPOSED_SHARE = 0.05
"""A leak of some is a leak: the share of people whose exposure beyond the margin is more than chance."""


def leaks(difference: float | None, ci: Interval | None, margin: float) -> bool:
    """Whether an attack beats its baseline with the interval clear of the margin."""
    return difference is not None and math.isfinite(difference) and ci is not None and ci[0] > margin


def decide(
    difference: float | None,
    ci: Interval | None,
    margin: float,
    control: Control | None,
    n_subjects: int,
    min_subjects: int,
    baseline: str,
    exposed: int = 0,
    misfit: bool = False,
    unsound: str = "",
) -> tuple[Verdict, str]:
    """Decide one primary finding.

    LEAK: the difference's interval lies above the margin. NO LEAK DETECTED: it lies at or below it, and the same attack
    found the planted leak. Everything else is INCONCLUSIVE.

    Args:
        difference: attack minus the best attacker who does not look at the transcript (or chance).
        ci: its interval, clustered by subject.
        margin: the least difference that counts.
        control: the planted leak; None counts as missed.
        n_subjects: people behind the figure.
        min_subjects: fewer decide nothing.
        baseline: what the attack is compared with, for the sentence.
        exposed: people with a scan that beats the baseline by more than the margin, whatever the mean says.
        misfit: whether it does demonstrably worse than not looking, and so does not fit the scheme.
        unsound: the checks of itself that the attack failed, after which only its leaks count.

    Returns:
        The verdict and its reason in one sentence.
    """
    if difference is None or not math.isfinite(difference) or ci is None:
        return Verdict.INCONCLUSIVE, "the figure or its interval does not exist"
    span = f"[{ci[0]:+.3f}, {ci[1]:+.3f}]"
    if n_subjects < min_subjects:
        return Verdict.INCONCLUSIVE, f"{n_subjects} subjects are too few to decide (at least {min_subjects})"
    if leaks(difference, ci, margin):
        return Verdict.LEAK, f"beats {baseline} by {difference:+.3f} {span}, clear of the margin {margin:g}"
    if clopper_pearson(exposed / n_subjects, n_subjects)[0] > EXPOSED_SHARE:
        return Verdict.LEAK, f"{exposed} of {n_subjects} people are exposed beyond the margin, though not on average"
    if exposed:
        return (
            Verdict.INCONCLUSIVE,
            f"{exposed} of {n_subjects} people are exposed beyond the margin, though the mean is not",
        )
    if misfit:
        return (
            Verdict.INCONCLUSIVE,
            f"does worse than {baseline}, who does not look ({difference:+.3f} {span}): it does not fit this scheme",
        )
    if control is None or not control.passed:
        return Verdict.INCONCLUSIVE, "the attack missed the planted leak, so its silence says nothing"
    if ci[1] > margin:
        return (
            Verdict.INCONCLUSIVE,
            f"difference to {baseline} {difference:+.3f} {span} straddles the margin {margin:g}; more subjects decide",
        )
    if unsound:
        return Verdict.INCONCLUSIVE, f"the attack is not sound: {unsound}"
    return (
        Verdict.NO_LEAK_DETECTED,
        f"difference to {baseline} {difference:+.3f} {span} stays within the margin {margin:g}; planted leak found",
    )
