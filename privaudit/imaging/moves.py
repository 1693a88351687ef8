"""The rigid or affine move that makes a volume most like an atlas: descent on their correlation, compiled.

The gradient is written out: torch's takes ten times as long for volumes as small as these.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from privaudit.compiling import compiled

Floats = NDArray[np.float64]
STEPS: Final = 60
"""Steps of descent."""
RATE: Final = 0.04
"""First step of Adam, in radians and in shares of half a side; it falls to 0."""
FLAT: Final = 1e-6
"""Length below which what differs from the mean is rounding."""
TURNS: Final = np.array(
    [
        [[0.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]],
        [[0.0, 0.0, -1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]],
        [[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
    ]
)
"""What a small turn about each axis does, from the first of the other axes to the second."""


def best_move(seen: Floats, target: Floats, scaled: bool) -> Floats:
    """The move [9] after which a volume is most like another one, or most unlike (inverted contrast).

    Args:
        seen: [X, Y, Z].
        target: of the same shape.
        scaled: whether each axis may be stretched too.

    Returns:
        Three rotations in radians, a shift in shares of half a side, and the logarithms of three scales.
    """
    target = centred(target)
    free = np.array([1.0] * 6 + [float(scaled)] * 3)
    move, mean, square = np.zeros(9), np.zeros(9), np.zeros(9)
    best, found = -1.0, move.copy()
    for step in range(STEPS):
        likeness, slope = likeness_of(move * free, seen, target)
        if likeness > best:
            best, found = likeness, move.copy()
        slope = slope * free
        mean, square = 0.9 * mean + 0.1 * slope, 0.999 * square + 0.001 * slope**2  # Adam, Kingma & Ba 2015
        first, second = mean / (1 - 0.9 ** (step + 1)), square / (1 - 0.999 ** (step + 1))
        move = move + RATE * (1 - step / STEPS) * first / (np.sqrt(second) + 1e-8)
    return np.asarray(found * free)


def likeness_of(move: Floats, seen: Floats, target: Floats) -> tuple[float, Floats]:
    """Size of the correlation of a moved volume with a centred one, 0 to 1, and its slope [9] in the move."""
    matrix, slopes = affine_of(move, seen.shape)
    moved, steps = np.empty(seen.shape), np.empty((3, *seen.shape))
    _sample(seen, matrix, moved, steps)
    apart = moved - moved.mean()
    length = max(float(np.linalg.norm(apart)), FLAT)
    correlation = float((apart * target).sum()) / length
    rest = np.sign(correlation) * (target - correlation * apart / length) / length
    pull = (steps * rest).reshape(3, -1)
    return abs(correlation), np.asarray((slopes * (pull @ _places(seen.shape))).sum(axis=(1, 2)))


@lru_cache(maxsize=4)
def _places(shape: tuple[int, ...]) -> Floats:
    """Every voxel's place and a one, [N, 4]."""
    axes = np.indices(shape, dtype=np.float64).reshape(3, -1)
    return np.concatenate([axes, np.ones((1, math.prod(shape)))]).T


def affine_of(move: Floats, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
    """Where voxels of a moved volume come from, in voxels: a matrix [3, 4], and its slope [9, 3, 4] in the move."""
    half = (np.array(shape) - 1) / 2  # corners are the centres of the outermost voxels
    sin, cos = np.sin(move[:3, None, None]), np.cos(move[:3, None, None])
    squares = TURNS @ TURNS
    turns = np.eye(3) + sin * TURNS + (1 - cos) * squares  # Rodrigues
    slopes = cos * TURNS + sin * squares
    scale, zero = np.exp(move[6:]), np.zeros((3, 3))
    linear = turns[0] @ turns[1] @ turns[2] * scale
    parts = [
        (slopes[0] @ turns[1] @ turns[2]) * scale,
        (turns[0] @ slopes[1] @ turns[2]) * scale,
        (turns[0] @ turns[1] @ slopes[2]) * scale,
        *[zero] * 3,
        *(linear * unit for unit in np.eye(3)),
    ]
    shifts = [*[np.zeros(3)] * 3, *np.diag(half), *[np.zeros(3)] * 3]
    matrix = np.column_stack([linear, half + half * move[3:6] - linear @ half])
    found = [np.column_stack([part, shift - part @ half]) for part, shift in zip(parts, shifts, strict=True)]
    return matrix, np.stack(found)


def centred(volume: Floats) -> Floats:
    """With mean 0 and length 1; zeros where it is constant."""
    apart = volume - volume.mean()
    return np.asarray(apart / max(float(np.linalg.norm(apart)), FLAT))


@compiled()
def _sample(volume: Any, matrix: Any, out: Any, steps: Any) -> None:
    """Read a volume at moved places, linearly, outside at the border; and how much a step along each axis changes."""
    sides = volume.shape
    low, part, inside = np.empty(3, np.int64), np.empty(3), np.empty(3)
    for x in range(sides[0]):
        for y in range(sides[1]):
            for z in range(sides[2]):
                for axis in range(3):
                    row = matrix[axis]
                    place = row[0] * x + row[1] * y + row[2] * z + row[3]
                    inside[axis] = 1.0 if 0.0 < place < sides[axis] - 1 else 0.0
                    place = min(max(place, 0.0), sides[axis] - 1.0)
                    low[axis] = min(np.int64(place), max(sides[axis] - 2, 0))
                    part[axis] = place - low[axis]
                total, along = 0.0, (0.0, 0.0, 0.0)
                for a in range(2):
                    i = min(low[0] + a, sides[0] - 1)
                    u, du = (part[0], 1.0) if a else (1.0 - part[0], -1.0)
                    for b in range(2):
                        j = min(low[1] + b, sides[1] - 1)
                        v, dv = (part[1], 1.0) if b else (1.0 - part[1], -1.0)
                        for c in range(2):
                            w, dw = (part[2], 1.0) if c else (1.0 - part[2], -1.0)
                            value = volume[i, j, min(low[2] + c, sides[2] - 1)]
                            total += value * u * v * w
                            along = (
                                along[0] + value * du * v * w,
                                along[1] + value * u * dv * w,
                                along[2] + value * u * v * dw,
                            )
                out[x, y, z] = total
                for axis in range(3):
                    steps[axis, x, y, z] = along[axis] * inside[axis]
