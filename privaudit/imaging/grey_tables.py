"""Means of one volume over the grey levels of another, compiled."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from privaudit.compiling import compiled

BINS: Final = 4096
"""Equal steps of the range of levels, by which the search for a value's level begins near its end."""


def means_by_level(values: NDArray[np.float32], levels: NDArray[np.float32], other: NDArray[np.float32]) -> Any:
    """Each value replaced with the mean of another volume where the same level occurs.

    Args:
        values: float32 [N]; a value's level is the first that is not less, or the last.
        levels: float32 [L], rising, at least one.
        other: float32 [N].

    Returns:
        float32 [N]. Sums are float64, in the order of the values.
    """
    level = np.empty(len(values), np.int64)
    count, total = np.zeros(len(levels), np.int64), np.zeros(len(levels))
    _sum_up(values, levels, other, level, count, total, BINS / max(float(levels[-1]) - float(levels[0]), 1e-30))
    return (total / np.maximum(count, 1)).astype(np.float32)[level]


@compiled()
def _bin(value: Any, least: Any, scale: Any) -> Any:
    place = (np.float64(value) - least) * scale
    return np.int64(min(place, BINS - 1.0)) if place > 0 else 0  # 0 for what is no number, too


@compiled()
def _sum_up(values: Any, levels: Any, other: Any, level: Any, count: Any, total: Any, scale: Any) -> None:
    last, least = len(levels) - 1, np.float64(levels[0])
    # How many levels lie in lower bins: those are less than any value of a bin, as bins rise with values.
    start = np.zeros(BINS + 1, np.int64)
    for value in levels:
        start[_bin(value, least, scale) + 1] += 1
    start = np.cumsum(start)
    for n in range(len(values)):
        at = start[_bin(values[n], least, scale)]
        while at < last and levels[at] < values[n]:
            at += 1
        at = min(at, last)
        level[n] = at
        count[at] += 1
        total[at] += other[n]
