"""What every kind of finding is made with: scored rows, settings, and how rows are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from privaudit.contracts.attack import Attack, Check, Protocol
from privaudit.results.record import Interval
from privaudit.scoring.arms import Arm
from privaudit.scoring.rows import Floats, Row
from privaudit.scoring.settings import ScoringSpec
from privaudit.scoring.stats import betting_interval, cluster_interval
from privaudit.seeds import seed_from


@dataclass(frozen=True)
class Scored:
    """The finished jobs of one attack under one protocol: rows per arm, seconds over all arms, checks of itself."""

    attack: Attack
    protocol: Protocol
    rows: Mapping[Arm, Sequence[Row]]
    seconds: float
    checks: tuple[Check, ...] = ()

    @property
    def unhealthy(self) -> str:
        """Why the attack's silence would say nothing; empty if it would."""
        return "; ".join(str(check) for check in self.checks if not check.passed)

    @property
    def unfit(self) -> str:
        """Why the attack is not made for the scheme, by its own checks; empty if it is."""
        return "; ".join(str(check) for check in self.checks if not check.fits)

    @property
    def table(self) -> str:
        """Where the per-scan table of the audit arm lies, relative to the run."""
        return f"tables/{self.attack.name}.{self.protocol.name}.csv"


@dataclass(frozen=True)
class Scorecard:
    """Settings shared by all findings of an audit."""

    scoring: ScoringSpec
    seed: int
    people: int
    """Victims, for the gallery-size curve."""
    shareable: bool = True
    """Whether what is known of people may be told."""

    def interval(self, values: Floats, people: Sequence[str], exact: bool, *key: str) -> Interval | None:
        """Clustered interval with its own random stream, so that no finding depends on another's presence."""
        return cluster_interval(
            values,
            people,
            np.random.default_rng(seed_from(self.seed, "bootstrap", *key)),
            confidence=self.scoring.confidence,
            resamples=self.scoring.resamples,
            exact=exact,
        )

    def betting(self, values: Floats, people: Sequence[str], *key: str) -> Interval | None:
        """Interval of a mean of figures in [0, 1] that holds for any number of people, with its own random stream."""
        rng = np.random.default_rng(seed_from(self.seed, "betting", *key))
        return betting_interval(values, people, rng, confidence=self.scoring.confidence)
