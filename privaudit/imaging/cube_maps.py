"""Linear maps as sparse matrices from voxels, or small cubes of them, to what is sent; and how they are undone."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve, cholesky, solve_triangular
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import LinearOperator, lsmr

from privaudit.imaging.probing import Floats

Ints = NDArray[np.int64]
ITERATIONS: Final = 100
"""Of least squares: where cubes reach nothing in common a few are enough."""
DIRECT: Final = 3000
"""Up to so many different numbers the whole is solved at once."""


@dataclass(eq=False)
class CubeMap:
    """A sparse matrix from voxels, or small cubes of them, to what is sent.

    Attributes:
        matrix: float32 [d, n], of numbers that are sent and differ.
        same: which of them each number that is sent equals, int64 [m].
        column: which column each voxel belongs to, int64 [X, Y, Z].
        cubes: first column of each cube, and after the last one n.
        step: side of what a column stands for, in voxels.
    """

    matrix: csc_matrix
    same: Ints
    column: Ints
    cubes: Sequence[int]
    step: int
    _kept: tuple[Floats, Sequence[Floats]] | None = field(default=None, repr=False)

    def of(self, change: Floats) -> Floats:
        """Mean changes of small cubes, mapped."""
        return self._times(self._means(change))[self.same]

    def back(self, sent: Floats, variance: Floats, noise: float) -> Floats:
        """Exactly where few numbers differ, else by iterations; a few where cubes reach nothing in common."""
        spread = self._means(variance)
        mean = np.bincount(self.same, sent) / np.bincount(self.same)
        solve = self._directly if len(mean) <= DIRECT else self._iterated
        return np.asarray(solve(mean, spread, max(noise, 1e-300))[self.column])

    def _directly(self, sent: Floats, spread: Floats, noise: float) -> Floats:
        """The Wiener estimate, in as many unknowns as numbers differ."""

        def factor() -> Sequence[Floats]:
            products = np.zeros((len(sent), len(sent)))
            for a, b in itertools.pairwise(self.cubes):
                part = self.matrix[:, a:b]
                rows = np.unique(part.indices)
                block = part[rows].toarray().astype(np.float64)
                products[np.ix_(rows, rows)] += (block * spread[a:b]) @ block.T
            top = products.diagonal().max(initial=1e-300)
            return [cholesky(products + np.diag(np.full(len(sent), noise + 1e-12 * top)), lower=True)]

        (lower,) = self._factors(np.append(spread, noise), factor)
        return np.asarray(spread * (self.matrix.T @ cho_solve((lower, True), sent)))

    def _iterated(self, sent: Floats, spread: Floats, noise: float) -> Floats:
        """Least squares with a Gaussian prior, each cube solved for itself as preconditioner (LSMR).

        Fong and Saunders, "LSMR: an iterative algorithm for sparse least-squares problems", SIAM J. Sci. Comput. 2011.
        """
        m, n = self.matrix.shape
        damping, ends = np.sqrt(noise / spread), list(itertools.pairwise(self.cubes))

        def factor() -> Sequence[Floats]:
            blocks = [self.matrix[:, a:b] for a, b in ends]
            wide = (block[np.unique(block.indices)].toarray().astype(np.float64) for block in blocks)
            grams = (block.T @ block for block in wide)
            return [
                cholesky(gram + np.diag(damping[a:b] ** 2 + 1e-12 * gram.diagonal().max(initial=1e-300)), lower=True)
                for gram, (a, b) in zip(grams, ends, strict=True)
            ]

        pieces = list(zip(self._factors(damping, factor), ends, strict=True))

        def solved(values: Floats, transposed: bool) -> Floats:
            parts = [
                solve_triangular(one, values[a:b], trans=int(not transposed), lower=True, check_finite=False)
                for one, (a, b) in pieces
            ]
            return np.concatenate(parts)

        def forward(values: Floats) -> Floats:
            found = solved(values.ravel(), transposed=False)
            return np.concatenate([self._times(found), damping * found])

        def adjoint(values: Floats) -> Floats:
            flat = values.ravel()
            back = self.matrix.T @ flat[:m].astype(np.float32)
            return solved(back + damping * flat[m:], transposed=True)

        operator = LinearOperator((m + n, n), matvec=forward, rmatvec=adjoint, dtype=np.float64)
        found = lsmr(operator, np.concatenate([sent, np.zeros(n)]), atol=1e-6, btol=1e-6, maxiter=ITERATIONS)[0]
        return solved(found, transposed=False)

    def _factors(self, key: Floats, make: Callable[[], Sequence[Floats]]) -> Sequence[Floats]:
        """Factors of the last prior and noise, which are the same for every scan."""
        if self._kept is None or not np.array_equal(self._kept[0], key):
            self._kept = key, make()
        return self._kept[1]

    def _times(self, values: Floats) -> Floats:
        # Single precision: a sparse matrix would be copied whole to be multiplied in double.
        return np.asarray(self.matrix @ values.astype(np.float32), dtype=np.float64)

    def _means(self, values: Floats) -> Floats:
        count = np.bincount(self.column.ravel(), minlength=self.matrix.shape[1])
        return np.asarray(np.bincount(self.column.ravel(), values.ravel(), self.matrix.shape[1]) / count)
