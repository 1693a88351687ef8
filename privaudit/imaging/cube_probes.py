"""Linear maps told from probes cube by cube: blocks, filters, pixels, and whatever reaches everywhere, more coarsely.

First each cube of the image is changed alone, which shows what it reaches. Cubes that reach nothing in common are then
probed together (as columns of a sparse Jacobian are coloured: Curtis, Powell and Reid, "On the estimation of sparse
Jacobian matrices", IMA Journal of Applied Mathematics 1974), half of the voxels of each at a time, in the patterns of a
Hadamard matrix: noise of what is sent then counts least (Hotelling, "Some improvements in weighing and other
experimental techniques", Annals of Mathematical Statistics 1944). Where that would take too many probes or numbers,
smaller cubes stand for voxels.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import hadamard
from scipy.sparse import csc_matrix

from privaudit.imaging.cube_maps import CubeMap, Ints
from privaudit.imaging.probing import STEP, Floats, Send, inward, own_changes

Box = tuple[slice, slice, slice]
SIDE: Final = 8
"""Side of cubes in voxels."""
STEPS: Final = (1, 2, 4, 8)
"""Sides of what is changed at a time, the finest that can be had is taken."""
MOST_CUBES: Final = 1500
"""Each is changed alone, twice."""
MOST_PROBES: Final = 6000
"""Of voxels or small cubes."""
MOST_NUMBERS: Final = 100_000_000
"""That the map may hold, of eight bytes; and as many again to undo it."""
ROUNDING: Final = 4e-6
"""Share of the largest number that is sent below which a change is rounding."""

LOUD: Final = 6.0
"""Standard deviations of noise from which a change is one."""


def fit_cubes(
    send: Send, base: Floats, nothing: Floats, noise: float, rng: np.random.Generator,
    advance: Callable[[float], None],
) -> CubeMap | None:  # fmt: skip
    """Fit a map around a base image; None where the volume has too many cubes.

    Args:
        send: the encoder.
        base: the image, [X, Y, Z] in [0, 1].
        nothing: what is sent of it.
        noise: standard deviation of what is sent of one image.
        rng: of what cubes are filled with.
        advance: called with shares of the work.
    """
    cubes = cut_up(base.shape, SIDE)
    if len(cubes) > MOST_CUBES:
        return None
    # Numbers that are sent twice, as a block's mean is for each of its voxels, are looked at once.
    tried = np.stack([send(base + own_changes(base, rng)) - nothing for _ in range(2)])
    _, first, same = np.unique(tried, axis=1, return_index=True, return_inverse=True)

    def distinct(image: Floats) -> Floats:
        return send(image)[first]

    nothing = nothing[first]
    reach = []
    for cube in cubes:
        reach.append(_reach(distinct, base, nothing, noise, cube, rng))
        advance(0.4 / len(cubes))
    colours = coloured(reach, nothing.size)
    for step in STEPS:
        parts = [_within(cube, step) for cube in cubes]
        probes = len(colours) * max(map(len, parts))
        if probes <= MOST_PROBES and sum(len(a) * len(b) for a, b in zip(reach, parts, strict=True)) <= MOST_NUMBERS:
            blocks = _blocks(distinct, base, nothing, reach, colours, parts, lambda share: advance(0.6 * share))
            firsts = [0, *itertools.accumulate(map(len, parts))]
            column = np.empty(base.shape, dtype=np.int64)
            for box, number in zip(itertools.chain.from_iterable(parts), itertools.count(), strict=False):
                column[box] = number
            return CubeMap(_joined(reach, blocks, nothing.size), same, column, firsts, step)
    return None


def cut_up(shape: Sequence[int], side: int, start: Sequence[int] = (0, 0, 0)) -> list[Box]:
    """Cubes of a volume that begins at ``start``; those at the far border may be smaller.

    >>> len(cut_up((10, 8, 9), 8))
    4
    """
    axes = [
        [slice(a, min(a + side, at + length)) for a in range(at, at + length, side)]
        for at, length in zip(start, shape, strict=True)
    ]
    return [(x, y, z) for x, y, z in itertools.product(*axes)]


def _within(cube: Box, side: int) -> list[Box]:
    return cut_up([axis.stop - axis.start for axis in cube], side, [axis.start for axis in cube])


def _reach(
    send: Send, base: Floats, nothing: Floats, noise: float, cube: Box, rng: np.random.Generator
) -> Ints:  # fmt: skip
    """Which numbers change with a cube, by two fillings: a number that one leaves as it was is changed by the other."""
    changed = np.zeros(nothing.size, dtype=bool)
    least = max(ROUNDING * max(float(np.abs(nothing).max()), STEP), LOUD * noise)
    for _ in range(2):
        probe = base.copy()
        probe[cube] += STEP * inward(base[cube]) * rng.uniform(0.2, 1, base[cube].shape)
        changed |= np.abs(send(probe) - nothing) > least
    return np.flatnonzero(changed)


def coloured(reach: Sequence[Ints], size: int) -> list[list[int]]:
    """Groups of cubes that reach nothing in common, each cube put in the first group that it fits in.

    >>> coloured([np.array([0, 1]), np.array([1, 2]), np.array([3])], 4)
    [[0, 2], [1]]
    """
    groups: list[list[int]] = []
    taken: list[NDArray[np.bool_]] = []
    for number, mine in enumerate(reach):
        free = next((group for group, there in enumerate(taken) if not there[mine].any()), None)
        if free is None:
            free = len(groups)
            groups.append([])
            taken.append(np.zeros(size, dtype=bool))
        groups[free].append(number)
        taken[free][mine] = True
    return groups


def _blocks(
    send: Send, base: Floats, nothing: Floats, reach: Sequence[Ints], colours: Sequence[Sequence[int]],
    parts: Sequence[Sequence[Box]], advance: Callable[[float], None],
) -> list[NDArray[np.float32]]:  # fmt: skip
    """For each cube what each of its parts changes of what the cube reaches, [parts, reach].

    Part v is changed in probe p where the Hadamard matrix H has a one there. With d(v) for what its change changes, a
    probe shows r(p) = sum of (1 + H(p, v)) / 2 · d(v), the first one, of all, r(0); and H has orthogonal columns.
    """
    blocks = [np.zeros((len(own), len(mine)), dtype=np.float32) for mine, own in zip(reach, parts, strict=True)]
    for group in colours:
        order = 1 << (max(len(parts[cube]) for cube in group) - 1).bit_length()
        patterns = hadamard(order, dtype=np.int8)
        seen = {cube: np.empty((order, len(reach[cube])), dtype=np.float32) for cube in group}
        sizes = {cube: np.array([_room(base[box]) for box in parts[cube]]) for cube in group}
        part, size = np.zeros(base.shape, dtype=np.int64), np.zeros(base.shape)
        for cube in group:
            for number, box in enumerate(parts[cube]):
                part[box], size[box] = number, sizes[cube][number]
        for number, pattern in enumerate(patterns > 0):
            change = send(base + size * pattern[part]) - nothing
            for cube in group:
                seen[cube][number] = change[reach[cube]]
            advance(1 / order / len(colours))
        for cube in group:
            columns = patterns[:, : len(parts[cube])].astype(np.float32)
            told = columns.T @ (2 * seen[cube] - seen[cube][0]) / order
            blocks[cube][:] = told / sizes[cube][:, None]
    return blocks


def _room(values: Floats) -> float:
    """The greatest change, up to :data:`~privaudit.imaging.probing.STEP`, that leaves all values inside [0, 1]."""
    up, down = 1 - float(values.max()), float(values.min())
    return min(STEP, max(up, 0.02)) if up >= down else -min(STEP, max(down, 0.02))


def _joined(reach: Sequence[Ints], blocks: Sequence[NDArray[np.float32]], size: int) -> csc_matrix:
    """All blocks [columns, what is reached] as one sparse matrix; what is rounding is left out."""
    data, indices, counts = [], [], []
    for mine, block in zip(reach, blocks, strict=True):
        kept = np.abs(block) > 1e-6 * np.abs(block).max(initial=0)
        data.append(block[kept])
        indices.append(np.broadcast_to(mine.astype(np.int32), block.shape)[kept])
        counts.append(kept.sum(axis=1))
    ends = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    return csc_matrix((np.concatenate(data), np.concatenate(indices), ends), shape=(size, len(ends) - 1))
