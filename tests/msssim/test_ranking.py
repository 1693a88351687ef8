"""Ranks from bounds, on a similarity that reveals as little as it may and that has many ties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import ArrayLike, NDArray

from privaudit.errors import OptionError
from privaudit.msssim import DenseSimilarity, SimilarityLike, count_above, count_pairs_above, threshold_at_fpr, top_k

Floats = NDArray[np.float64]


class Veiled:
    """Tells a value only where it is not below the threshold; elsewhere a bound that is as loose as is allowed."""

    def __init__(self, matrix: Floats, symmetric: bool) -> None:
        self._true = DenseSimilarity(matrix, symmetric)
        self.n_queries, self.n_gallery, self.symmetric = *matrix.shape, symmetric
        self._bound = np.where(np.isfinite(matrix), np.ceil(matrix * 4) / 4 + 0.25, matrix)
        self.asked: set[tuple[int, int]] = set()

    def upper(self, i: int) -> Floats:
        bound: Floats = self._bound[i].copy()
        if self.symmetric:
            bound[i] = -np.inf
        return bound

    def exact(self, i: int, js: ArrayLike) -> Floats:
        return self.refine(i, js, -np.inf)

    def refine(self, i: int, js: ArrayLike, threshold: float) -> Floats:
        js = np.asarray(js, dtype=np.intp)
        value, bound = self._true.exact(i, js), self.upper(i)[js]
        told = bound >= threshold
        self.asked |= {(i, j) for j in js[told].tolist()}
        # A bound between the value and the threshold, as one more level might give.
        half = np.where(np.isfinite(value), (value + min(threshold, 9.0)) / 2, value)
        half = np.where(half < threshold, half, value)
        return np.where(told & (value >= threshold), value, np.where(told, half, bound))


@st.composite
def similarities(draw: st.DrawFn) -> tuple[Floats, bool]:
    """A matrix with few distinct values, so that ties abound; maybe symmetric."""
    symmetric = draw(st.booleans())
    rows, columns = draw(st.integers(2, 7)), draw(st.integers(2, 7))
    seed, steps = draw(st.integers(0, 2**16)), draw(st.sampled_from([2, 5, 1000]))
    matrix = np.random.default_rng(seed).integers(0, steps, (rows, rows if symmetric else columns)) / steps
    return ((matrix + matrix.T) / 2 if symmetric else matrix), symmetric


@given(similarities(), st.integers(1, 8), st.sets(st.integers(0, 1)))
@settings(deadline=None)
def test_ranks_agree_with_sorting_the_matrix(case: tuple[Floats, bool], k: int, exclude: set[int]) -> None:
    matrix, symmetric = case
    for sim in (DenseSimilarity(matrix, symmetric), Veiled(matrix, symmetric)):
        for i, row in enumerate(matrix):
            left = [j for j in range(len(row)) if j not in exclude and not (symmetric and i == j)]
            order = sorted(left, key=lambda j: (-row[j], j))[:k]
            found, values = top_k(sim, i, k, exclude)
            assert found.tolist() == order
            assert values.tolist() == row[order].tolist()
            for value in row:
                above, equal = sum(row[j] > value for j in left), sum(row[j] == value for j in left)
                assert count_above(sim, i, float(value), exclude) == (above, equal)


@given(similarities(), st.floats(0.001, 1), st.integers(0, 2**16))
@settings(deadline=None)
def test_threshold_is_the_kth_largest_negative(case: tuple[Floats, bool], fpr: float, seed: int) -> None:
    matrix, symmetric = case
    mask = np.random.default_rng(seed).random(matrix.shape) < 0.7
    mask[0, 1] = True
    negatives = np.sort(matrix[np.triu(mask, 1) if symmetric else mask])[::-1]
    for sim in (DenseSimilarity(matrix, symmetric), Veiled(matrix, symmetric)):
        threshold = threshold_at_fpr(sim, mask, fpr)
        assert threshold == negatives[math.ceil(fpr * len(negatives)) - 1]
        above, equal = count_pairs_above(sim, mask, threshold)
        assert above == (negatives > threshold).sum() < fpr * len(negatives)
        assert equal == (negatives == threshold).sum()


def test_threshold_over_more_pairs_than_one_chunk_counts_decimals_exactly() -> None:
    matrix = np.random.default_rng(0).random((30, 40))
    sim = Veiled(matrix, symmetric=False)
    # 0.07 * 100 is 7.000000000000001 in floating point.
    mask = np.zeros(matrix.shape, dtype=bool)
    mask.flat[:100] = True
    assert threshold_at_fpr(sim, mask, 0.07) == np.sort(matrix[mask])[-7]
    assert threshold_at_fpr(sim, mask | True, 0.05) == np.sort(matrix.ravel())[-60]
    assert len(sim.asked) < matrix.size


def test_top_k_leaves_out_what_is_minus_infinity() -> None:
    indices, values = top_k(DenseSimilarity([[0.5, -np.inf, 0.5]]), 0, 5)
    assert indices.tolist() == [0, 2]
    assert values.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("matrix", "symmetric", "words"),
    [
        ([[0.5, math.nan]], False, "NaN"),
        ([0.5], False, "rows and columns"),
        (np.ones((0, 2)), False, "rows and columns"),
        ([[1, 0.2], [0.3, 1]], True, "not symmetric"),
        ([[1, 0.2]], True, "not symmetric"),
    ],
)
def test_bad_matrices(matrix: ArrayLike, symmetric: bool, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        DenseSimilarity(matrix, symmetric)


def test_bad_arguments() -> None:
    sim: SimilarityLike = DenseSimilarity(np.ones((2, 3)))
    mask = np.ones((2, 3), dtype=bool)
    with pytest.raises(OptionError, match="at least 1"):
        top_k(sim, 0, 0)
    for fpr in (0.0, 1.1, math.nan):
        with pytest.raises(OptionError, match="false positive rate"):
            threshold_at_fpr(sim, mask, fpr)
    with pytest.raises(OptionError, match="negative pairs"):
        threshold_at_fpr(sim, ~mask, 0.1)
    with pytest.raises(OptionError, match=r"\(2, 3\)"):
        count_pairs_above(sim, mask.T, 0.5)
