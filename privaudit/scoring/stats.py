"""Intervals clustered by subject, and what guessing scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]
ORDERS: Final = 32
"""Random orders of the subjects over which capital is averaged."""
GRID: Final = 2000
"""Candidate means between 0 and 1."""
BOLDEST: Final = 0.75
"""Share of the capital that a bet may lose at most."""


def _by_subject(values: Floats, subjects: Sequence[str]) -> tuple[Floats, Floats]:
    """Sum and number of values of each subject."""
    _, index = np.unique(np.asarray(subjects), return_inverse=True)
    return np.bincount(index, weights=values).astype(np.float64), np.bincount(index).astype(np.float64)


def cluster_interval(
    values: Floats,
    subjects: Sequence[str],
    rng: np.random.Generator,
    *,
    confidence: float = 0.95,
    resamples: int = 5000,
    exact: bool = False,
) -> tuple[float, float] | None:
    """Bootstrap-t interval of the mean: whole subjects are drawn with replacement.

    Each resample's mean is taken in units of its own standard error (Efron & Tibshirani, 1993, section 12.5), which
    follows skew where the percentile interval and BCa are too short on the long side (what is reached:
    ``tests/scoring/test_coverage.py``). Of figures that nobody in the sample shows, no interval of a sample can tell.

    Args:
        values: one finite figure per scan (or pair).
        subjects: the subject of each; their values stay together.
        rng: source of the resamples.
        confidence: coverage asked for.
        resamples: number of bootstrap samples.
        exact: join it with Clopper and Pearson's interval on the number of subjects, for values in [0, 1].
            A bootstrap of all hits or all misses has no width, and one of few skewed values too little; of values in
            [0, 1] with one mean, hits and misses spread most, so their exact interval is cautious for all.

    Returns:
        (low, high), or None with fewer than two subjects, where no interval exists.
    """
    sums, counts = _by_subject(values, subjects)
    n = len(sums)
    if n < 2:
        return None
    mean = float(values.mean())
    draws = rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)
    error = float(_standard_error(np.ones((1, n)), np.array([mean]), sums, counts)[0])
    means = (draws @ sums) / (draws @ counts)
    errors = _standard_error(draws, means, sums, counts)
    # A resample of equals has no spread of its own.
    ratios = (means - mean) / np.maximum(errors, 0.01 * error) if error > 0 else np.zeros(resamples)
    tail = (1 - confidence) / 2
    low, high = (mean - float(q) * error for q in np.quantile(ratios, [1 - tail, tail]))
    if exact:
        beta = clopper_pearson(mean, n, confidence)
        low, high = max(0.0, min(low, beta[0])), min(1.0, max(high, beta[1]))
    return low, high


def within(found: tuple[float, float] | None, least: float, greatest: float) -> tuple[float, float] | None:
    """An interval without what its figure cannot be; one that lies inside stays to the digit.

    A bootstrap-t of three people may reach far beyond. What is cut off could not be true: coverage stays, and the same
    ends lie beyond every margin between ``least`` and ``greatest``.

    >>> within((-3.794, 0.678), 0, 1), within((0.25, 0.75), 0, 1), within(None, 0, 1)
    ((0.0, 0.678), (0.25, 0.75), None)
    """
    if found is None:
        return None
    low, high = (float(least) if end < least else float(greatest) if end > greatest else end for end in found)
    return low, high


def _standard_error(draws: Floats, means: Floats, sums: Floats, counts: Floats) -> Floats:
    """Of the mean of clusters [B], drawn so often [B, n]: the ratio's, linearised."""
    n = len(sums)
    squares = draws @ sums**2 - 2 * means * (draws @ (sums * counts)) + means**2 * (draws @ counts**2)
    errors: Floats = np.sqrt(np.maximum(squares, 0) * n / (n - 1)) / (draws @ counts)
    return errors


def betting_interval(
    values: Floats, subjects: Sequence[str], rng: np.random.Generator, *, confidence: float = 0.95
) -> tuple[float, float] | None:
    """Interval for the mean over subjects of figures in [0, 1] that holds for every number of subjects.

    A gambler bets on each subject's figure against every candidate mean; candidates that would have made somebody rich
    are left out (hedged capital, Waudby-Smith & Ramdas, JRSS B 2024, theorem 3 with its plug-in bets). Capital is
    averaged over random orders of the subjects, which leaves its guarantee as it is.

    Args:
        values: one figure in [0, 1] per scan.
        subjects: the subject of each; their values are averaged.
        rng: source of the orders.
        confidence: coverage, at least.

    Returns:
        (low, high), or None with fewer than two subjects.
    """
    sums, counts = _by_subject(values, subjects)
    n = len(sums)
    if n < 2:
        return None
    orders = np.stack([rng.permutation(n) for _ in range(ORDERS)])
    shown = (sums / counts)[orders]  # [orders, n]
    before = np.arange(1, n + 1)
    means = (0.5 + np.cumsum(shown, axis=1)) / (before + 1)
    spread = (0.25 + np.cumsum((shown - means) ** 2, axis=1)) / (before + 1)
    past = np.concatenate([np.full((ORDERS, 1), 0.25), spread[:, :-1]], axis=1)
    bets = np.sqrt(2 * math.log(2 / (1 - confidence)) / (past * n))
    candidates = (np.arange(GRID) + 0.5) / GRID
    wealth = np.ones((2, ORDERS, GRID))  # overflow is far above the limit, underflow far below
    boldest = BOLDEST / candidates, BOLDEST / (1 - candidates)
    with np.errstate(over="ignore", under="ignore"):
        for step in range(n):
            apart, bet = shown[:, step, None] - candidates, bets[:, step, None]
            wealth[0] *= 1 + np.minimum(bet, boldest[0]) * apart
            wealth[1] *= 1 - np.minimum(bet, boldest[1]) * apart
        capital = 0.5 * wealth.mean(axis=1)
    kept = candidates[np.maximum(*capital) < 1 / (1 - confidence)]
    estimate = float((sums / counts).mean())
    half = 0.5 / GRID
    low, high = (estimate, estimate) if not len(kept) else (float(kept[0]) - half, float(kept[-1]) + half)
    return min(low, estimate), max(high, estimate)


def clopper_pearson(share: float, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact binomial interval for a share of n trials; a fractional number of hits is allowed.

    >>> [round(x, 4) for x in clopper_pearson(0.0, 24)]
    [0.0, 0.1425]
    """
    hits, tail = share * n, (1 - confidence) / 2
    low = 0.0 if hits <= 0 else float(stats.beta.ppf(tail, hits, n - hits + 1))
    high = 1.0 if hits >= n else float(stats.beta.ppf(1 - tail, hits + 1, n - hits))
    return low, high


def chance_rank(k: int, positives: int, gallery: int) -> float:
    """Probability that a random order of the gallery has a positive among the first k.

    >>> round(47 * chance_rank(1, 1, 47), 9)
    1.0
    """
    if k >= gallery:
        return 1.0 if positives else 0.0
    return 1.0 - math.comb(gallery - positives, k) / math.comb(gallery, k)


def chance_average_precision(positives: int, gallery: int, top: int | None = None) -> float:
    """Expected average precision of a random order, over the whole gallery or truncated at ``top``.

    A rank j holds a positive with probability R/N; given that, the expected number of positives above it is
    (j − 1)(R − 1)/(N − 1). Truncated precision is divided by min(R, top).

    >>> round(chance_average_precision(1, 3), 6)  # (1 + 1/2 + 1/3) / 3
    0.611111
    """
    last = gallery if top is None else min(top, gallery)
    share = (positives - 1) / (gallery - 1) if gallery > 1 else 0.0
    total = sum((1 + (j - 1) * share) / j for j in range(1, last + 1))
    return positives / gallery * total / (positives if top is None else min(positives, top))
