"""Overlap and agreement: Dice of label maps, and the intraclass correlation of two raters."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats


def dice(guess: NDArray[np.integer], truth: NDArray[np.integer], label: int) -> float | None:
    """Dice of one label, 0 to 1; None where the truth has none of it.

    Args:
        guess: label map.
        truth: label map of the same shape.
        label: which.

    >>> dice(np.array([1, 1, 0]), np.array([1, 0, 0]), 1)
    0.6666666666666666
    """
    inside = truth == label
    size = int(inside.sum())
    if not size:
        return None
    found = guess == label
    return 2 * int((found & inside).sum()) / (int(found.sum()) + size)


def icc(ratings: NDArray[np.float64], confidence: float = 0.95) -> tuple[float, tuple[float, float]] | None:
    """ICC(C,1): two-way model, single score, consistency (McGraw & Wong, Psychological Methods 1996, tables 4 and 7).

    Args:
        ratings: [n, k], k ratings (here: Dice with each of k references) of n images; finite.
        confidence: of the bounds.

    Returns:
        The coefficient and its bounds; None with fewer than two images or ratings, or where nothing varies.
    """
    n, k = ratings.shape
    if n < 2 or k < 2:
        return None
    rows, columns, mean = ratings.mean(axis=1), ratings.mean(axis=0), ratings.mean()
    between = k * float(((rows - mean) ** 2).sum()) / (n - 1)
    residual = ratings - rows[:, None] - columns[None, :] + mean
    error = float((residual**2).sum()) / ((n - 1) * (k - 1))
    if between + error <= 1e-15:
        return None
    value = (between - error) / (between + (k - 1) * error)
    if error <= 1e-15:
        return value, (1.0, 1.0)
    f, df1, df2, tail = between / error, n - 1, (n - 1) * (k - 1), (1 + confidence) / 2
    low = f / float(stats.f.ppf(tail, df1, df2))
    high = f * float(stats.f.ppf(tail, df2, df1))
    bounds = (low - 1) / (low + k - 1), (high - 1) / (high + k - 1)
    return (value, bounds) if math.isfinite(value) else None
