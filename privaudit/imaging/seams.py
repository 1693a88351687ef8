"""Which of two label maps is whose, patch by patch: one person's labels go on where two patches meet.

A mixed patch says two label maps, not which is the target's. Next to it lies another such patch. People's structures do
not end where patches do, so that the maps of one person agree across a seam better than those of two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privaudit.imaging.patches import Shape

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Cut = tuple[slice, slice, slice]

ROUNDS: Final = 20
"""Passes over all patches in which each may still be turned."""
LEAD: Final = 0.1
"""Share of a seam's voxels by which one person's maps must agree better than the other's to be told from them."""


@dataclass(frozen=True)
class Order:
    """What seams say.

    Attributes:
        swapped: bool [N], in which patches the two maps change places.
        known: whether the first maps are the target's: they go on across seams, and the second ones do not. Those
            belong to many people if they agree with each other hardly better than first maps agree with second ones.
    """

    swapped: NDArray[np.bool_]
    known: bool


def seams(positions: Ints, size: Shape) -> Iterator[tuple[int, int, Cut, Cut]]:
    """Pairs of patches that overlap or touch, with what is compared: the same voxels, or the ones on either side.

    Args:
        positions: int64 [N, 3], corners.
        size: of a patch.
    """
    side = np.array(size)
    for one in range(len(positions)):
        step = positions[one + 1 :] - positions[one]
        room = side - np.abs(step)
        for other in np.flatnonzero((room >= 0).all(axis=1) & ((room == 0).sum(axis=1) <= 1)):
            cuts = [_along(int(by), width) for by, width in zip(step[other], size, strict=True)]
            first, second = zip(*cuts, strict=True)
            yield one, one + 1 + int(other), (first[0], first[1], first[2]), (second[0], second[1], second[2])


def _along(step: int, width: int) -> tuple[slice, slice]:
    """Of a patch and one that lies ``step`` further along an axis: what they share, or the faces that touch."""
    if abs(step) == width:
        last, first = slice(width - 1, width), slice(0, 1)
        return (last, first) if step > 0 else (first, last)
    if step >= 0:
        return slice(step, width), slice(0, width - step)
    return slice(0, width + step), slice(-step, width)


def find_order(first: Ints, second: Ints, positions: Ints) -> Order:
    """Turn patches until the maps of one person go on across as many voxels of seams as can be.

    Args:
        first: int64 [N, *patch], one of each patch's two label maps.
        second: the other one.
        positions: int64 [N, 3], the patches' corners.
    """
    size: Shape = (first.shape[1], first.shape[2], first.shape[3])
    both = np.stack([first, second])
    pairs: list[tuple[int, int]] = []
    agreed: list[Floats] = []
    voxels = 0
    for one, other, here, there in seams(positions, size):
        near, far = both[(slice(None), one, *here)], both[(slice(None), other, *there)]
        tissue = (near > 0).any(axis=0) | (far > 0).any(axis=0)
        if tissue.any():
            near, far = near[:, tissue], far[:, tissue]
            pairs.append((one, other))
            agreed.append(np.array([[float((a == b).sum()) for b in far] for a in near]))
            voxels += int(tissue.sum())
    swapped = _turned(len(first), pairs, agreed)
    going, crossing = np.zeros(2), 0.0
    for (one, other), counts in zip(pairs, agreed, strict=True):
        a, b = int(swapped[one]), int(swapped[other])
        going += counts[a, b], counts[1 - a, 1 - b]
        crossing += (counts[a, 1 - b] + counts[1 - a, b]) / 2
    if going[1] > going[0]:
        swapped, going = ~swapped, going[::-1]
    one_person, others = going
    clear = one_person - others > LEAD * voxels and one_person - others > others - crossing
    return Order(swapped, bool(clear))


def _turned(patches: int, pairs: Sequence[tuple[int, int]], agreed: Sequence[Floats]) -> NDArray[np.bool_]:
    """Which patches are turned: along a tree of the clearest seams first, then one after the other while it helps."""
    gains = [float(counts.trace() - counts[::-1].trace()) for counts in agreed]
    swapped = np.zeros(patches, dtype=bool)
    group = np.arange(patches)
    for number in sorted(range(len(pairs)), key=lambda n: -abs(gains[n])):
        one, other = pairs[number]
        if group[one] != group[other]:
            moved = group == group[other]
            if (gains[number] < 0) != (swapped[one] != swapped[other]):
                swapped[moved] = ~swapped[moved]
            group[moved] = group[one]
    beside: list[list[tuple[int, float]]] = [[] for _ in range(patches)]
    for (one, other), gain in zip(pairs, gains, strict=True):
        beside[one].append((other, gain))
        beside[other].append((one, gain))
    for _ in range(ROUNDS):
        before = swapped.copy()
        for patch, others in enumerate(beside):
            if sum(gain if swapped[patch] == swapped[other] else -gain for other, gain in others) < 0:
                swapped[patch] = not swapped[patch]
        if np.array_equal(before, swapped):
            break
    return swapped
