"""Intervals clustered by subject, and what guessing scores."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

Floats = NDArray[np.float64]


def _by_subject(values: Floats, subjects: Sequence[str]) -> tuple[Floats, Floats]:
    """Sum and number of values of each subject."""
    _, index = np.unique(np.asarray(subjects), return_inverse=True)
    return np.bincount(index, weights=values).astype(np.float64), np.bincount(index).astype(np.float64)


def expanded_tail(n: int, confidence: float) -> float:
    """Tail probability of the percentile interval, widened for n clusters.

    The percentile bootstrap is too narrow in small samples; Hesterberg (2015, The American Statistician 69:371,
    'expanded percentile interval') takes the tail ``Φ(−√(n/(n−1))·t)`` in place of ``Φ(−z)``.
    """
    quantile = stats.t.ppf((1 + confidence) / 2, n - 1)
    return float(stats.norm.cdf(-math.sqrt(n / (n - 1)) * quantile))


def cluster_interval(
    values: Floats,
    subjects: Sequence[str],
    rng: np.random.Generator,
    *,
    confidence: float = 0.95,
    resamples: int = 5000,
    exact: bool = False,
) -> tuple[float, float] | None:
    """Bootstrap interval of the mean: whole subjects are drawn with replacement.

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
    draws = rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)
    means = (draws @ sums) / (draws @ counts)
    tail = expanded_tail(n, confidence)
    low, high = (float(q) for q in np.quantile(means, [tail, 1 - tail]))
    if exact:
        beta = clopper_pearson(float(values.mean()), n, confidence)
        low, high = min(low, beta[0]), max(high, beta[1])
    return low, high


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
