"""Who shares a reference and who is one person in a set of mixtures, as a state whose likelihood can be asked.

With rows ``z_i = α_i·x_i + (1 − α_i)·r_c(i)`` of images that vary independently, the rows' covariance says it:
``α_i² + (1 − α_i)²`` on the diagonal, ``(1 − α_i)(1 − α_j)`` where two share a reference, ``ρ·α_i·α_j`` where two are
scans of one person, 0 elsewhere. Unlinked rows have a covariance of 0, so that each group of linked rows is looked at
on its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privaudit.imaging.shared_references import Shared

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

GRID: Final = np.linspace(0.02, 0.98, 33)
"""Mixing weights that are tried."""
COARSE: Final = np.linspace(0.04, 0.96, 17)
"""Those that a link is first tried with."""
FINE: Final = np.linspace(0.005, 0.995, 199)
"""Those that are tried at the end."""
NOISE: Final = 0.02
"""Variance of what the model leaves out, as a share of an image's."""
ALIKES: Final = np.linspace(0.3, 0.9, 13)
"""Correlations of one person's scans that are tried."""
PAIRS: Final = 3
"""People with two scans from whom that correlation is estimated."""


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
        shared: who shares a reference, and the ratios of 1 − α; None where nothing is known of it.
    """

    def __init__(self, covariance: Floats, alike: float, shared: Shared | None) -> None:
        self.covariance, self.alike, self.known = covariance, alike, shared is not None
        n = len(covariance)
        self.reference, self.person, self.scale = np.arange(n), np.arange(n), np.ones(n)
        if shared is not None:
            self.reference = shared.group
            for group in np.unique(shared.group):
                members = shared.group == group
                self.scale[members] = shared.scale[members] / shared.scale[members].max()
        self.tied = self.reference  # whose weights follow from one another
        self.alpha = np.full(n, 0.5)
        self.fit()

    def _model(self, rows: Ints, reference: Ints, person: Ints, alphas: Floats) -> Floats:
        """The covariance [g, rows, rows] that such links would give."""
        people = np.where(np.equal.outer(person[rows], person[rows]), self.alike, 0.0)
        np.fill_diagonal(people, 1.0)
        same = np.equal.outer(reference[rows], reference[rows])
        rest = 1 - alphas
        model = alphas[:, :, None] * alphas[:, None] * people + rest[:, :, None] * rest[:, None] * same
        return np.asarray(model + NOISE * np.eye(len(rows)))

    def likelihood(self, rows: Ints, reference: Ints, person: Ints, alphas: Floats) -> Floats:
        """Twice the log-likelihood per voxel of some rows, for several weights [g, rows]."""
        model = self._model(rows, reference, person, alphas)
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

    def _fit(self, reference: Ints, person: Ints, alpha: Floats, row: int, grid: Floats) -> None:
        """Set the likeliest weight of one row, and of those whose weights follow from it, given the others'."""
        rows = self.together(row, reference, person)
        own = np.flatnonzero(self.tied[rows] == self.tied[row])
        alphas = np.repeat(alpha[rows][None], len(grid), axis=0)
        alphas[:, own] = 1 - (1 - grid[:, None]) * self.scale[rows[own]]
        alpha[rows[own]] = alphas[int(self.likelihood(rows, reference, person, alphas).argmax()), own]

    def _tried(self, changed: Iterable[int], reference: Ints, person: Ints) -> tuple[float, Floats]:
        """Gain over what stands, with the weights of the rows that changed fitted again."""
        changed = list(changed)
        rows = np.unique(np.concatenate([self.together(row, reference, person) for row in changed]))
        before = np.unique(np.concatenate([self.together(int(row), self.reference, self.person) for row in rows]))
        alpha = self.alpha.copy()
        for _ in range(2):
            for row in changed:
                self._fit(reference, person, alpha, row, COARSE)
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

    def expected(self) -> Floats:
        """What the likelihood is expected to gain from each pair [n, n], as one person's scans, by its derivative."""
        everybody = np.arange(len(self.alpha))
        inverse = np.linalg.inv(self._model(everybody, self.reference, self.person, self.alpha[None])[0])
        weight = np.outer(self.alpha, self.alpha)
        slope = (inverse @ self.covariance @ inverse - inverse) * weight
        curve = np.outer(*2 * [np.diag(inverse) * self.alpha**2]) + (inverse * weight) ** 2
        return np.asarray(slope * np.abs(slope) / curve)

    def guess_alike(self) -> None:
        """Take the likeliest correlation of one person's scans, where several were found."""
        if len(self.person) - len(np.unique(self.person)) < PAIRS:
            return
        everybody, likely = np.arange(len(self.alpha)), []
        for self.alike in ALIKES:
            likely.append(self.likelihood(everybody, self.reference, self.person, self.alpha[None])[0])
        self.alike = float(ALIKES[int(np.argmax(likely))])

    def found(self) -> Linked:
        """What stands."""
        return Linked(self.alpha, _numbers(self.reference), _numbers(self.person))

    def fit(self, grid: Floats = GRID) -> None:
        """Fit every weight again, given the links."""
        for row in np.unique(self.tied, return_index=True)[1]:
            self._fit(self.reference, self.person, self.alpha, int(row), grid)


def _numbers(labels: Ints) -> Ints:
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)
