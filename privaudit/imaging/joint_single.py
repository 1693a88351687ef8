"""Joint unmixing of one view a scan: who shares a reference, who is the same person, and every mixing weight.

With rows ``z_i = α_i·x_i + (1 − α_i)·r_c(i)`` of images that vary independently, the rows' covariance says it:
``α_i² + (1 − α_i)²`` on the diagonal, ``(1 − α_i)(1 − α_j)`` where two share a reference, ``ρ·α_i·α_j`` where two are
scans of one person, 0 elsewhere. Links are added while they raise the likelihood by enough, and taken back or moved
where another place is likelier. Unlinked rows have a covariance of 0, so that each group of linked rows is looked at
on its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

GRID: Final = np.linspace(0.02, 0.98, 33)
"""Mixing weights that are tried."""
NOISE: Final = 0.02
"""Variance of what the model leaves out, as a share of an image's."""
GAIN: Final = 0.003
"""Log-likelihood per voxel, twice, that a link must gain."""
COARSE: Final = np.linspace(0.04, 0.96, 17)
"""Those that a link is first tried with."""
CANDIDATES: Final = 6
"""Pairs that are tried, for each row: those that gain most without anybody else."""
ROUNDS: Final = 2


@dataclass(frozen=True, eq=False)
class Linked:
    """What is likeliest.

    Attributes:
        alpha: float [n], mixing weights.
        reference: int [n], equal numbers for equal references.
        person: int [n], equal numbers for equal people.
    """

    alpha: Floats
    reference: Ints
    person: Ints


class Links:
    """The state of the search.

    Args:
        covariance: of the rows [n, n], in units of an image's variance.
        alike: correlation ρ of two scans of one person.
    """

    def __init__(self, covariance: Floats, alike: float) -> None:
        self.covariance, self.alike = covariance, alike
        n = len(covariance)
        self.reference, self.person = np.arange(n), np.arange(n)
        self.alpha = np.empty(n)
        for row in range(n):
            self.alpha[row] = self._best(np.array([row]), self.reference, self.person, np.full(n, 0.5), row)

    def likelihood(self, rows: Ints, reference: Ints, person: Ints, alphas: Floats) -> Floats:
        """Twice the log-likelihood per voxel of some rows, for several weights [g, rows]."""
        people = np.where(np.equal.outer(person[rows], person[rows]), self.alike, 0.0)
        np.fill_diagonal(people, 1.0)
        same = np.equal.outer(reference[rows], reference[rows])
        rest = 1 - alphas
        model = alphas[:, :, None] * alphas[:, None] * people + rest[:, :, None] * rest[:, None] * same
        model = model + NOISE * np.eye(len(rows))
        seen = self.covariance[np.ix_(rows, rows)]
        misfit = np.trace(np.linalg.solve(model, np.broadcast_to(seen, model.shape)), axis1=1, axis2=2)
        return np.asarray(-np.linalg.slogdet(model)[1] - misfit)

    def together(self, row: int, reference: Ints, person: Ints) -> Ints:
        """Every row that is linked with this one, itself among them."""
        found = {row}
        new = [row]
        while new:
            one = new.pop()
            more = np.flatnonzero((reference == reference[one]) | (person == person[one]))
            new += [int(other) for other in more if other not in found]
            found.update(int(other) for other in more)
        return np.array(sorted(found))

    def _best(self, rows: Ints, reference: Ints, person: Ints, alpha: Floats, row: int, grid: Floats = GRID) -> float:
        """The likeliest weight of one row, given the others'."""
        alphas = np.repeat(alpha[rows][None], len(grid), axis=0)
        alphas[:, np.flatnonzero(rows == row)[0]] = grid
        return float(grid[int(self.likelihood(rows, reference, person, alphas).argmax())])

    def _tried(self, changed: Iterable[int], reference: Ints, person: Ints) -> tuple[float, Floats]:
        """Gain over what stands, with the weights of the rows that changed fitted again."""
        changed = list(changed)
        rows = np.unique(np.concatenate([self.together(row, reference, person) for row in changed]))
        before = np.unique(np.concatenate([self.together(int(row), self.reference, self.person) for row in rows]))
        alpha = self.alpha.copy()
        for _ in range(2):
            for row in changed:
                group = self.together(row, reference, person)
                alpha[row] = self._best(group, reference, person, alpha, row, COARSE)
        after = float(self.likelihood(before, reference, person, alpha[before][None])[0])
        return after - float(self.likelihood(before, self.reference, self.person, self.alpha[before][None])[0]), alpha

    def move(self, changed: Iterable[int], options: Iterable[tuple[Ints, Ints]], least: float) -> bool:
        """Take the option, new references and people, that gains most, if it gains enough."""
        best = max(
            ((*self._tried(changed, *option), *option) for option in options), key=lambda item: item[0], default=None
        )
        if best is None or best[0] <= least:
            return False
        self.alpha, self.reference, self.person = best[1:]
        return True

    def fit(self) -> None:
        """Fit every weight again, given the links."""
        for row in range(len(self.alpha)):
            rows = self.together(row, self.reference, self.person)
            self.alpha[row] = self._best(rows, self.reference, self.person, self.alpha, row)


def link(covariance: Floats, alike: float, advance: Callable[[float], None] = lambda _: None) -> Linked:
    """Find shared references, people and weights by greedy maximum likelihood.

    Args:
        covariance: of the rows [n, n], in units of an image's variance.
        alike: correlation ρ of two scans of one person, 0 to 1.
        advance: called with shares of the work, which add up to 1.
    """
    n = len(covariance)
    links = Links(covariance, alike)
    one, two = np.triu_indices(n, 1)
    gains = _alone(covariance, one, two, alike)
    order = [k for k in np.argsort(-gains, kind="stable")[: CANDIDATES * n] if gains[k] > GAIN]
    for _ in range(ROUNDS):
        for k in order:
            links.move((int(one[k]), int(two[k])), _joined(links, int(one[k]), int(two[k])), GAIN)
            advance(0.8 / ROUNDS / len(order))
        links.fit()
        for row in range(n):
            links.move((row,), _moved(links, row), GAIN)
            advance(0.2 / ROUNDS / n)
        links.fit()
    return Linked(links.alpha, _numbers(links.reference), _numbers(links.person))


def _alone(covariance: Floats, one: Ints, two: Ints, alike: float) -> Floats:
    """What a link of each pair gains if nobody else is looked at."""
    first, second = (grid.ravel()[:, None] for grid in np.meshgrid(COARSE, COARSE, indexing="ij"))
    a, b = (alpha**2 + (1 - alpha) ** 2 + NOISE for alpha in (first, second))
    best = []
    for c in (0.0 * a, (1 - first) * (1 - second), alike * first * second):
        det = a * b - c**2
        parts = []
        for some in np.array_split(np.arange(len(one)), max(1, len(one) // 2048)):
            i, j = one[some], two[some]
            misfit = b * covariance[i, i] + a * covariance[j, j] - 2 * c * covariance[i, j]
            parts.append((-np.log(det) - misfit / det).max(axis=0))
        best.append(np.concatenate(parts))
    return np.asarray(np.maximum(best[1], best[2]) - best[0])


def _joined(links: Links, i: int, j: int) -> list[tuple[Ints, Ints]]:
    """Two rows may share a reference, and so all that share one with either; or they are a person's two scans."""
    reference, person = links.reference, links.person
    options = []
    if reference[i] != reference[j] and person[i] != person[j]:
        options.append((np.where(reference == reference[j], reference[i], reference), person))
        if (person == person[i]).sum() == 1 and (person == person[j]).sum() == 1:
            options.append((reference, np.where(person == person[j], person[i], person)))
    return options


def _moved(links: Links, row: int) -> list[tuple[Ints, Ints]]:
    """A row may leave its reference for another or none, or its person."""
    reference, person = links.reference, links.person
    n = len(reference)
    options = []
    for other in {*reference.tolist(), 2 * n + row} - {int(reference[row])}:
        moved = reference.copy()
        moved[row] = other
        options.append((moved, person))
    if (person == person[row]).sum() > 1:
        alone = person.copy()
        alone[row] = 2 * n + row
        options.append((reference, alone))
    return options


def _numbers(labels: Ints) -> Ints:
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)
