"""What every kind of finding is made with: scored rows, settings, and how rows are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from privaudit.attack import Attack, Check, Protocol
from privaudit.record import Interval
from privaudit.scene import Arm, seed_from
from privaudit.spec import ScoringSpec
from privaudit.stats import cluster_interval
from privaudit.store import Row

Floats = NDArray[np.float64]


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


def column_of(rows: Sequence[Row], name: str) -> Floats:
    """One figure of every row."""
    return np.array([row[name] for row in rows], dtype=np.float64)


def people_of(rows: Sequence[Row]) -> list[str]:
    """Whom each row is of."""
    return [row["person"] for row in rows]


def by_alpha(rows: Sequence[Row], values: Floats) -> dict[str, float]:
    """Mean by fifths of the mixing weight."""
    fifths = np.array([row.get("alpha_fifth", 0) for row in rows])
    return {
        f"{(f - 1) / 5:.1f}-{f / 5:.1f}": round(float(values[fifths == f].mean()), 6)
        for f in range(1, 6)
        if (fifths == f).any()
    }
