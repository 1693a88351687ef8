"""Which mixtures share a reference, told by air: exact, from one view of each target.

Where a target is air (0), its mixture ``α·x + (1 − α)·r`` is ``(1 − α)·r``. The quotient of two neighbouring voxels
there is that of the reference alone, whatever α is. Two mixtures with one reference have equal quotients wherever both
targets are air, at the rim of their brains; other mixtures agree by chance only. Where they agree, the mixtures
themselves stand in one ratio, ``(1 − α_i) / (1 − α_j)``. It needs images whose background is exactly 0, as that of
skull-stripped images is. Where mixtures have such a background and still do not agree, no reference is shared.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from privaudit.imaging.shared_references import Shared, components, ratios

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DARK: Final = 1e-4
"""Intensity of a mixture below which rounding may be more than its relative precision says."""
WIDER: Final = 3
"""Voxels by which the attacker's own people are widened: a victim's brain may reach further."""
LEAST: Final = 20
"""Voxels that must agree on the ratio of two mixtures."""
CLEARER: Final = 5.0
"""Times as many voxels must agree as do on ratios near to it."""
EMPTY: Final = 0.01
"""Share of the rim's voxels from which a background of 0 is no accident."""
GREYS: Final = 512
"""Different values in a mixture's rim below which equal quotients are no news: few grey levels, or sent as bytes."""
COARSE: Final = 1e-6
"""Relative precision from which a few shared voxels may be missed."""
AT_ONCE: Final = 2**15
"""Pairs of neighbours that are compared at a time."""


def rim(people: NDArray[np.float32]) -> tuple[NDArray[np.bool_], Ints, Ints]:
    """Where some of the attacker's own people [m, X, Y, Z] are air and others are not, or nearly so.

    Returns:
        The voxels, bool [X, Y, Z], and pairs of neighbours among them as two lists of places in that mask.
    """
    air = people == 0
    mask = air.any(axis=0) & ndimage.binary_dilation(~air.all(axis=0), iterations=WIDER)
    number = np.full(mask.shape, -1, dtype=np.int64)
    number[mask] = np.arange(mask.sum())
    one, two = [], []
    for axis in range(3):
        here, there = (np.moveaxis(number, axis, 0)[part].ravel() for part in (slice(None, -1), slice(1, None)))
        both = (here >= 0) & (there >= 0)
        one.append(here[both])
        two.append(there[both])
    return mask, np.concatenate(one), np.concatenate(two)


def share_by_air(rows: NDArray[np.float32], one: Ints, two: Ints, digits: float) -> Shared | None:
    """Find mixtures that share a reference.

    Args:
        rows: mixtures [n, V] at the rim's voxels, intensities from 0 on.
        one: places of voxels in 0 … V − 1.
        two: their neighbours.
        digits: relative precision of what was sent.

    Returns:
        None where air tells nothing: values are few, the background is not 0, or numbers are too coarse to say that
        none is shared.
    """
    if not len(one) or np.median([len(np.unique(row)) for row in rows]) < GREYS:
        return None
    n = len(rows)
    pairs, logs = _agreements(rows, one, two, 4 * digits)
    order = np.lexsort((logs, pairs))
    pairs, logs = pairs[order], logs[order]
    first, second, ratio = [], [], []
    found, starts = np.unique(pairs, return_index=True)
    for pair, own in zip(found, np.split(logs, starts[1:]), strict=False):  # one part without anything, if none is
        agreed = _mode(own, 4 * digits)
        if agreed is not None:
            first.append(int(pair) // n)
            second.append(int(pair) % n)
            ratio.append(agreed)
    if not first:
        alone = np.arange(n)
        sure = digits < COARSE and (rows == 0).mean() > EMPTY
        return Shared(alone[:, None], alone, np.ones(n)) if sure else None
    i, j = np.array(first), np.array(second)
    group = components(n, i, j)
    return Shared(group[:, None], group, ratios(n, i, j, np.array(ratio)))


def _agreements(rows: NDArray[np.float32], one: Ints, two: Ints, width: float) -> tuple[Ints, Floats]:
    """Pairs of mixtures, as i·n + j, with equal quotients of neighbours, and the logarithm of i over j at each."""
    n, pairs, logs = len(rows), [], []
    for start in range(0, len(one), AT_ONCE):
        here, there = (rows[:, some[start : start + AT_ONCE]].astype(np.float64) for some in (one, two))
        lit = (here > DARK) & (there > DARK)
        with np.errstate(divide="ignore", invalid="ignore"):
            quotient = np.where(lit, np.log(here) - np.log(there), np.nan)
        quotient[np.abs(quotient) < 10 * width] = np.nan  # equal neighbours are equal in many mixtures
        order = np.argsort(quotient, axis=0)
        ranked = np.take_along_axis(quotient, order, axis=0)
        for step in (1, 2):  # who shares a reference stands side by side, or nearly
            place, column = np.nonzero(ranked[step:] - ranked[:-step] < width)
            i, j = order[place, column], order[place + step, column]
            i, j = np.minimum(i, j), np.maximum(i, j)
            pairs.append(i * n + j)
            logs.append(np.log(here[i, column] / here[j, column]))
    return np.concatenate(pairs).astype(np.int64), np.concatenate(logs)


def _mode(logs: Floats, width: float) -> float | None:
    """The ratio that so many voxels agree on that it is no chance; None without one. Logarithms in order."""
    counts = np.searchsorted(logs, logs + width, side="right") - np.arange(len(logs))
    start = int(counts.argmax())
    agreed, low = int(counts[start]), logs[start]
    if agreed < LEAST:
        return None
    edges = np.searchsorted(logs, [low - 5 * width, low - width, low + 2 * width, low + 6 * width])
    around = (edges[1] - edges[0] + edges[3] - edges[2]) / 8
    return float(np.median(logs[start : start + agreed])) if agreed > CLEARER * around else None
