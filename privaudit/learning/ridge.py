"""Ridge regression that is chosen, and judged, by people who were left out."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PENALTIES: Final = tuple(10.0**power for power in range(-4, 3))
"""Ridge penalties that are tried, as shares of the features' mean square."""
CLEAR: Final = 2.0
"""Standard errors by which the correction must help people who were left out."""
FLOOR: Final = 1e-6
"""Mean square below which a feature is constant."""


def ridge(grams: Floats, products: Floats, squares: Floats) -> tuple[Floats, float]:
    """Ridge regression whose penalty is chosen by leaving out one person at a time.

    Args:
        grams: of each person's features, [P, F, F].
        products: of features and target, [P, F].
        squares: of the target, [P].

    Returns:
        Weights [F] over all people, all 0 where none help those left out clearly; and the squared error left of them.
    """
    count, size = products.shape
    scale = np.sqrt(np.maximum(np.diagonal(grams.sum(axis=0)), FLOOR))
    grams, products = grams / (scale[:, None] * scale), products / scale
    gram_of_all, product_of_all = grams.sum(axis=0), products.sum(axis=0)
    best, chosen = 0.0, None
    for penalty in PENALTIES:
        gains = np.empty(count)
        for person in range(count):
            gram, product = gram_of_all - grams[person], product_of_all - products[person]
            weights = np.linalg.solve(gram + penalty * np.eye(size), product)
            gains[person] = 2 * weights @ products[person] - weights @ grams[person] @ weights
        error = gains.std(ddof=1) / np.sqrt(count)
        if gains.mean() > max(best, CLEAR * error):
            best, chosen = float(gains.mean()), penalty
    if chosen is None:
        return np.zeros(size), 1.0
    weights = np.linalg.solve(gram_of_all + chosen * np.eye(size), product_of_all)
    return weights / scale, 1 - best * count / float(squares.sum())
