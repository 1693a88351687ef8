"""What re-identification of so many people can show, by simulation, before anything runs."""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privaudit.scoring.settings import ScoringSpec
from privaudit.scoring.stats import betting_interval, chance_average_precision
from privaudit.scoring.verdicts import RANDOM_P

Floats = NDArray[np.float64]
NULLS: Final = 4000
"""Audits without a leak that are simulated."""
AUDITS: Final = 400
"""Audits with a leak, for each share of exposed people."""
PASSES: Final = 60
"""Audits without a leak whose interval is made."""
SHARES: Final = (0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)
"""Of people whom the attack finds in first place; the others are ranked at random."""
SIZES: Final = (60, 80, 100, 110, 120, 130, 140, 150, 170, 200, 250, 300, 400)
"""People that are tried for a pass."""
POWER: Final = 0.9
PASSING: Final = 0.95


@dataclass(frozen=True)
class Design:
    """One way to search.

    Attributes:
        people: under attack.
        scans: of each.
        encoded: among each other, or else every later scan in a gallery of first ones.
    """

    people: int
    scans: int
    encoded: bool

    @property
    def gallery(self) -> tuple[int, int]:
        """Right entries and entries of each query's gallery."""
        return (self.scans - 1, self.people * self.scans - 1) if self.encoded else (1, self.people)

    @property
    def chance(self) -> float:
        """Expected mAP of a random order."""
        return chance_average_precision(*self.gallery)

    def random(self, audits: int, rng: np.random.Generator) -> Floats:
        """Average precision of random rankings, of each person the mean over queries, [audits, people]."""
        queries = self.scans if self.encoded else self.scans - 1
        right, entries = self.gallery
        count = audits * self.people * queries
        # Distinct positions, uniformly: drawn again where two are the same.
        ranks = rng.integers(1, entries + 1, (count, right))
        while len(same := np.flatnonzero((np.diff(np.sort(ranks, axis=1), axis=1) == 0).any(axis=1))):
            ranks[same] = rng.integers(1, entries + 1, (len(same), right))
        precision = np.arange(1, right + 1) / np.sort(ranks, axis=1)
        return np.asarray(precision.mean(axis=1).reshape(audits, self.people, queries).mean(axis=2))


def least_noticed(design: Design, scoring: ScoringSpec, rng: np.random.Generator) -> float | None:
    """The least mAP above chance that is called a leak in nine audits of ten; None where none is.

    A share of the people is found in first place, the others are ranked at random.
    """
    null = np.sort(design.random(NULLS, rng).mean(axis=1))
    needed = max(float(np.quantile(null, 1 - RANDOM_P)), design.chance + scoring.margin_identity)
    for share in SHARES:
        found = design.random(AUDITS, rng)
        found[rng.random(found.shape) < share] = 1.0
        means = found.mean(axis=1)
        if float((means > needed).mean()) >= POWER:
            return float(means.mean()) - design.chance
    return None


def passing(design: Design, scoring: ScoringSpec, rng: np.random.Generator) -> float:
    """Share of audits in which a scheme that hides everything stays within the margin."""
    names = [str(person) for person in range(design.people)]
    passed = 0
    for values in design.random(PASSES, rng):
        ci = betting_interval(values, names, rng, confidence=scoring.confidence)
        passed += ci is not None and ci[1] <= design.chance + scoring.margin_identity
    return passed / PASSES


def needed_people(scans: int, encoded: bool, scoring: ScoringSpec, rng: np.random.Generator) -> int | None:
    """The fewest people, of those tried, with whom such a scheme passes in 95 of 100 audits."""
    enough = bisect.bisect_left(SIZES, PASSING, key=lambda n: passing(Design(n, scans, encoded), scoring, rng))
    return SIZES[enough] if enough < len(SIZES) else None
