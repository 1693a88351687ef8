"""Exact ranks, neighbours and thresholds from a similarity that is computed only as far as they need it."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Final, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from privaudit.errors import OptionError

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

CHUNK: Final = 64
"""The least number of pairs that a threshold search takes up at a time."""


class SimilarityLike(Protocol):
    """A similarity of queries and gallery that can be bounded before it is known.

    In a symmetric one, queries and gallery are the same scans and the diagonal is minus infinity.
    """

    @property
    def n_queries(self) -> int:
        """How many queries."""
        ...

    @property
    def n_gallery(self) -> int:
        """How many gallery entries."""
        ...

    @property
    def symmetric(self) -> bool:
        """Whether queries and gallery are the same scans, each pair of equal similarity both ways."""
        ...

    def upper(self, i: int) -> Floats:
        """Return ``[n_gallery]`` upper bounds for query ``i``."""
        ...

    def exact(self, i: int, js: ArrayLike) -> Floats:
        """Return the similarities of query ``i`` to ``js``."""
        ...

    def refine(self, i: int, js: ArrayLike, threshold: float) -> Floats:
        """Return upper bounds of query ``i`` for ``js``, exact wherever they are not below ``threshold``."""
        ...


class DenseSimilarity:
    """A similarity given as a matrix ``[n_queries, n_gallery]``; a copy is kept.

    Args:
        matrix: similarities, larger meaning more alike; no NaN.
        symmetric: whether queries and gallery are the same scans; the diagonal is then ignored.

    Raises:
        OptionError: the matrix is not 2-D, is empty, holds NaN, or is not symmetric though it should be.
    """

    def __init__(self, matrix: ArrayLike, symmetric: bool = False) -> None:
        self._matrix: Floats = np.array(matrix, dtype=np.float64)
        if self._matrix.ndim != 2 or not self._matrix.size:
            raise OptionError("a similarity matrix needs rows and columns", got=f"shape {self._matrix.shape}")
        self.symmetric = symmetric
        self.n_queries, self.n_gallery = self._matrix.shape
        if symmetric and self.n_queries == self.n_gallery:
            np.fill_diagonal(self._matrix, -np.inf)
        if np.isnan(self._matrix).any():
            raise OptionError("a similarity matrix holds NaN")
        if symmetric and not np.array_equal(self._matrix, self._matrix.T):
            raise OptionError("the similarity matrix is not symmetric", todo="pass symmetric=False, or mend the matrix")

    def upper(self, i: int) -> Floats:
        """Return a copy of row ``i``."""
        row: Floats = self._matrix[i].copy()
        return row

    def exact(self, i: int, js: ArrayLike) -> Floats:
        """Return row ``i`` at ``js``."""
        row: Floats = self._matrix[i, np.asarray(js, dtype=np.intp)]
        return row

    def refine(self, i: int, js: ArrayLike, threshold: float) -> Floats:
        """Return row ``i`` at ``js``, whatever the threshold."""
        return self.exact(i, js)


def top_k(sim: SimilarityLike, i: int, k: int, exclude: Iterable[int] = ()) -> tuple[NDArray[np.intp], Floats]:
    """Return the ``k`` gallery entries most similar to query ``i``, best first, and their similarities.

    The entry of highest bound is always refined next, and only until another's bound is higher, so no level of any
    pair is computed that this order does not need.

    Args:
        sim: the similarity.
        i: query index.
        k: how many, at least 1; fewer are returned where fewer are left.
        exclude: gallery indices to leave out; those of similarity minus infinity are left out too.

    Returns:
        Indices and values; among equal values the lower index comes first.

    Raises:
        OptionError: ``k`` is below 1.
    """
    if k < 1:
        raise OptionError("k of the nearest gallery entries", got=k, allowed="at least 1")
    bounds = sim.upper(i)
    left = _candidates(sim, exclude) & (bounds > -np.inf)
    # Highest bound first; among equal bounds those not known yet, as they may tie; then the lower index.
    heap = [(-float(bounds[j]), False, int(j)) for j in np.flatnonzero(left)]
    heapq.heapify(heap)
    best: list[tuple[int, float]] = []
    while heap and len(best) < k:
        negative, known, j = heapq.heappop(heap)
        if known:
            best.append((j, -negative))
            continue
        threshold = -heap[0][0] if heap else -math.inf
        value = float(sim.refine(i, [j], threshold)[0])
        if value > -math.inf:
            heapq.heappush(heap, (-value, value >= threshold, j))
    return np.array([j for j, _ in best], dtype=np.intp), np.array([v for _, v in best], dtype=np.float64)


def count_above(sim: SimilarityLike, i: int, value: float, exclude: Iterable[int] = ()) -> tuple[int, int]:
    """Return how many gallery entries are more similar to query ``i`` than ``value``, and how many exactly as similar.

    Where ``value`` is the similarity of a gallery entry, name that entry in ``exclude``, or it is among the equal
    ones. Excluded entries count in neither number.
    """
    found = sim.refine(i, np.flatnonzero(_candidates(sim, exclude)), value)
    return int((found > value).sum()), int((found == value).sum())


def count_pairs_above(sim: SimilarityLike, mask: Bools, value: float) -> tuple[int, int]:
    """Return how many of the pairs in ``mask`` are more similar than ``value``, and how many exactly as similar.

    Args:
        sim: the similarity.
        mask: ``[n_queries, n_gallery]``; of a symmetric similarity only what lies above the diagonal counts.
        value: similarity to exceed.

    Raises:
        OptionError: ``mask`` is not of that shape.
    """
    more = equal = 0
    for i, row in enumerate(_pairs(sim, mask)):
        found = sim.refine(i, np.flatnonzero(row), value)
        more, equal = more + int((found > value).sum()), equal + int((found == value).sum())
    return more, equal


def threshold_at_fpr(sim: SimilarityLike, is_negative: Bools, fpr: float) -> float:
    """Return the ``ceil(fpr * N)``-th largest similarity among the N negative pairs.

    Calling a pair positive where it is strictly more similar makes fewer than ``fpr * N`` of the negatives positive.

    Args:
        sim: the similarity.
        is_negative: ``[n_queries, n_gallery]``, true for pairs of different subjects; of a symmetric similarity only
            what lies above the diagonal counts.
        fpr: false positive rate in (0, 1], taken as the decimal number it prints as.

    Raises:
        OptionError: ``fpr`` is out of range, the mask is of another shape, or no pair is negative.
    """
    mask = _pairs(sim, is_negative)
    total = int(mask.sum())
    if not 0 < fpr <= 1:
        raise OptionError("false positive rate", got=fpr, allowed="above 0, at most 1")
    if not total:
        raise OptionError("a threshold at a false positive rate needs negative pairs", got="none")
    k = math.ceil(Fraction(repr(float(fpr))) * total)
    rows, columns = np.nonzero(mask)
    bounds = np.concatenate([sim.upper(i)[row] for i, row in enumerate(mask)])
    order = np.argsort(-bounds, kind="stable")
    largest, threshold = np.empty(0), -math.inf
    start, step = 0, max(k, CHUNK)
    while start < total and bounds[order[start]] >= threshold:
        chunk = order[start : start + step]
        start, step = start + step, CHUNK
        found = [sim.refine(i, columns[chunk[rows[chunk] == i]], threshold) for i in np.unique(rows[chunk]).tolist()]
        merged = np.concatenate([largest, *found])
        largest = np.sort(merged[merged >= threshold])[::-1][:k]
        if len(largest) == k:
            threshold = float(largest[-1])
    return float(largest[-1])


def _candidates(sim: SimilarityLike, exclude: Iterable[int]) -> Bools:
    """Return which gallery entries are left."""
    left = np.ones(sim.n_gallery, dtype=np.bool_)
    left[list(exclude)] = False
    return left


def _pairs(sim: SimilarityLike, mask: Bools) -> Bools:
    """Return the mask of pairs that count, each pair of a symmetric similarity once."""
    if mask.shape != (sim.n_queries, sim.n_gallery):
        raise OptionError("a mask of pairs", got=f"shape {mask.shape}", allowed=f"({sim.n_queries}, {sim.n_gallery})")
    return np.triu(mask, 1) if sim.symmetric else mask.astype(np.bool_)
