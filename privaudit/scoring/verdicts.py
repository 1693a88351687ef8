"""Deciding: from a difference, its interval and the positive control to one of three words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from scipy import stats

from privaudit.results.overall import MISFIT, UNFIT, Verdict
from privaudit.results.record import Control, Interval
from privaudit.scoring.arms import PLANTED_SHARE, detection_limit
from privaudit.scoring.stats import clopper_pearson

EXPOSED_SHARE: Final = 0.05
"""A leak of some is a leak: the share of people whose exposure beyond the margin is more than chance."""
EXPOSED_P: Final = 0.005
"""Probability, at most, that so many more people are ahead than behind by chance alone."""
SUSPECT_P: Final = 0.05
"""From here on, people who are ahead are no leak yet, but nothing that may be passed."""
RANDOM_P: Final = 0.001
"""Share, at most, of random answers that do as well as a leak: an audit has many figures, and noise must not leak."""


@dataclass(frozen=True)
class Evidence:
    """What one deciding figure rests on.

    Attributes:
        difference: attack minus the best attacker who does not look at the transcript (or chance).
        ci: its interval, clustered by subject.
        baseline: what the attack is compared with, for the sentence.
        n: people behind the figure.
        ahead: people with a scan that beats the baseline by more than the margin, whatever the mean says.
        behind: people with a scan as far on the other side of the median.
        p: share of random answers that do as well, where answers can be drawn at random; then it and the difference
            decide whether there is a leak, and the interval whether there is none.
        misfit: whether the attack does demonstrably worse than not looking, and so does not fit the scheme.
        unsound: the checks of itself that the attack failed, after which only its leaks count.
        unfit: those by which it says itself that it does not fit the scheme.
    """

    difference: float | None
    ci: Interval | None
    baseline: str
    n: int
    ahead: int = 0
    behind: int = 0
    p: float | None = None
    misfit: bool = False
    unsound: str = ""
    unfit: str = ""

    def leaks(self, margin: float) -> bool:
        """Whether the attack beats its baseline by more than the margin, and not by chance."""
        if self.difference is None or not math.isfinite(self.difference):
            return False
        if self.p is not None:
            return self.difference > margin and self.p <= RANDOM_P
        return self.ci is not None and self.ci[0] > margin


def with_limit(control: Control, smaller: Mapping[float, bool]) -> Control:
    """A control with what became of smaller leaks, and the detection limit; as it is where none were planted."""
    if not smaller:
        return control
    limit = detection_limit({PLANTED_SHARE: control.passed, **smaller})
    return control.model_copy(update={"found": {f"{share:g}": hit for share, hit in smaller.items()}, "limit": limit})


def exposure_p(ahead: int, behind: int) -> float:
    """Sign test: how often would so many of the people on either side be ahead, were each side as likely?

    The greatest of many differences lies beyond any margin by chance; an attacker who does not look is ahead of another
    one for some people, and behind for as many.

    >>> round(exposure_p(7, 0), 4), exposure_p(0, 0)
    (0.0078, 1.0)
    """
    return float(stats.binom.sf(ahead - 1, ahead + behind, 0.5)) if ahead else 1.0


def unseen_share(n: int, confidence: float = 0.95) -> float:
    """The share of people who could be exposed though none of n people is.

    >>> round(unseen_share(24), 2)
    0.12
    """
    return float(1 - (1 - confidence) ** (1 / n))


def lead_noticed(spread: float, people: int, margin: float, confidence: float) -> float:
    """The least mean lead that is a leak in nine of ten audits, where people's leads have this standard deviation.

    >>> round(lead_noticed(0.02, 24, 0.02, 0.95), 4)
    0.0338
    """
    sure, often = (float(stats.t.ppf(q, people - 1)) for q in (0.5 + confidence / 2, 0.9))
    return margin + (sure + often) * spread / math.sqrt(people)


def unseen_line(people: int) -> str:
    """The share of people who can be exposed unseen, in words."""
    return f"a leak of up to {unseen_share(people):.0%} of the people can stay unseen with {people} people"


def decide(evidence: Evidence, margin: float, control: Control | None, min_subjects: int) -> tuple[Verdict, str]:
    """Decide one primary finding.

    LEAK: the difference is clear of the margin, or some people are exposed. NO LEAK DETECTED: the interval stays within
    the margin, and the same attack found the planted leak. Everything else is INCONCLUSIVE.

    Args:
        evidence: what the figure rests on.
        margin: the least difference that counts.
        control: the planted leak; None counts as missed.
        min_subjects: fewer people decide nothing.

    Returns:
        The verdict and its reason in one sentence.
    """
    difference, ci, baseline, n = evidence.difference, evidence.ci, evidence.baseline, evidence.n
    if difference is None or not math.isfinite(difference) or ci is None:
        return Verdict.INCONCLUSIVE, "the figure or its interval does not exist"
    span = f"[{ci[0]:+.3f}, {ci[1]:+.3f}]"
    if n < min_subjects:
        return Verdict.INCONCLUSIVE, f"{n} people are too few to decide (at least {min_subjects})"
    if evidence.leaks(margin):
        chance = "" if evidence.p is None else f"; random answers do as well with probability {evidence.p:.2g}"
        clear = "clear of" if evidence.p is None else "beyond"
        return Verdict.LEAK, f"beats {baseline} by {difference:+.3f} {span}, {clear} the margin {margin:g}{chance}"
    exposed = f"{evidence.ahead} of {n} people are exposed beyond the margin"
    p = exposure_p(evidence.ahead, evidence.behind)
    if p <= EXPOSED_P and clopper_pearson(evidence.ahead / n, n)[0] > EXPOSED_SHARE:
        return Verdict.LEAK, f"{exposed}, though not on average ({evidence.behind} as far on the other side)"
    if p <= SUSPECT_P:
        return Verdict.INCONCLUSIVE, f"{exposed}, and {evidence.behind} as far on the other side: more people decide"
    if evidence.unfit:
        return Verdict.INCONCLUSIVE, f"{UNFIT}: {evidence.unfit}"
    if evidence.misfit:
        return (
            Verdict.INCONCLUSIVE,
            f"does worse than {baseline}, who does not look ({difference:+.3f} {span}): {MISFIT}",
        )
    if control is not None and not control.passed and (control.difference or 0.0) > margin:
        return (
            Verdict.INCONCLUSIVE,
            f"the planted leak is {control.difference:+.3f} ahead of {baseline}, but with {n} people that may be chance"
            ": the attack's silence says nothing, and more people decide",
        )
    if control is None or not control.passed:
        return Verdict.INCONCLUSIVE, "the attack missed the planted leak, so its silence says nothing"
    if ci[1] > margin:
        return (
            Verdict.INCONCLUSIVE,
            f"difference to {baseline} {difference:+.3f} {span} straddles the margin {margin:g}: more people decide",
        )
    if evidence.unsound:
        return Verdict.INCONCLUSIVE, f"the attack is not sound: {evidence.unsound}"
    return (
        Verdict.NO_LEAK_DETECTED,
        f"difference to {baseline} {difference:+.3f} {span} stays within the margin {margin:g}; planted leak found;"
        f" {_noticed(control)}with {n} people, a leak of up to {unseen_share(n):.0%} of people can stay unseen",
    )


def fits(reason: str) -> bool:
    """False where nothing but that the attack is not made for the scheme keeps a finding from deciding."""
    return not (reason.startswith(UNFIT) or reason.endswith(MISFIT))


def _noticed(control: Control) -> str:
    return "" if control.limit is None else f"would have noticed {control.limit:.0%} of the raw image; "
