"""Reading a field between its nodes, compiled: what ``scipy.ndimage.map_coordinates`` gives to the last bit, faster.

SciPy takes one channel at a time and computes where and with which weights for each of them anew. Here that is done
once for all channels. The order of sums and products is SciPy's, so that virtual people stay what they were; a test
compares every bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from privaudit.compiling import compiled

Floats = NDArray[np.float32]


def channels_last(values: Floats) -> Floats:
    """``[C, I, J, K]`` as ``[I, J, K, C]``: the values that one point needs of all channels lie side by side."""
    return np.ascontiguousarray(np.moveaxis(values, 0, -1))


def read_between(nodes: Floats, where: Floats, order: int) -> Floats:
    """Interpolate linearly (order 1) or by cubic B-splines (order 3); outside, the nearest node counts.

    Args:
        nodes: float32 ``[I, J, K, C]``: node values, or spline coefficients.
        where: float32 ``[3, N]``, in nodes from the first one.
        order: 1 or 3.

    Returns:
        float32 ``[C, N]``.
    """
    out = np.empty((nodes.shape[-1], where.shape[1]), np.float32)
    if order == 1:
        _read_linear(nodes, np.ascontiguousarray(where), out)
    else:
        _read_cubic(nodes, np.ascontiguousarray(where), out)
    return out


@compiled()
def _nearest(index: Any, length: Any) -> Any:
    return min(max(index, 0), length - 1)


@compiled()
def _read_linear(nodes: Any, where: Any, out: Any) -> None:
    # Loops of constant length around one sum at a time: the compiler unrolls them, and the sum stays in a register.
    sides = nodes.shape
    place, weight = np.empty((3, 2), np.int64), np.empty((3, 2), np.float64)
    for n in range(where.shape[1]):
        for axis in range(3):
            at = np.float64(where[axis, n])
            first = np.floor(at)
            start = np.int64(first)
            place[axis, 0] = _nearest(start, sides[axis])
            place[axis, 1] = _nearest(start + 1, sides[axis])
            weight[axis, 0] = 1.0 - (at - first)
            weight[axis, 1] = 1.0 - weight[axis, 0]
        for channel in range(sides[3]):
            total = 0.0
            for a in range(2):
                for b in range(2):
                    for c in range(2):
                        value = np.float64(nodes[place[0, a], place[1, b], place[2, c], channel])
                        total += value * weight[0, a] * weight[1, b] * weight[2, c]
            out[channel, n] = total


@compiled()
def _read_cubic(nodes: Any, where: Any, out: Any) -> None:
    sides = nodes.shape
    sums = np.empty(sides[3], np.float64)
    start = np.empty(3, np.int64)
    weight = np.empty((3, 4), np.float64)
    for n in range(where.shape[1]):
        for axis in range(3):
            place = np.float64(where[axis, n])
            first = np.floor(place)
            start[axis] = np.int64(first) - 1
            y = place - first
            z = 1.0 - y
            weight[axis, 1] = (y * y * (y - 2.0) * 3.0 + 4.0) / 6.0
            weight[axis, 2] = (z * z * (z - 2.0) * 3.0 + 4.0) / 6.0
            weight[axis, 0] = z * z * z / 6.0
            weight[axis, 3] = 1.0 - weight[axis, 0] - weight[axis, 1] - weight[axis, 2]
        sums[:] = 0.0
        for a in range(4):
            i = _nearest(start[0] + a, sides[0])
            for b in range(4):
                j = _nearest(start[1] + b, sides[1])
                for c in range(4):
                    k = _nearest(start[2] + c, sides[2])
                    for channel in range(sides[3]):
                        value = np.float64(nodes[i, j, k, channel])
                        sums[channel] += value * weight[0, a] * weight[1, b] * weight[2, c]
        for channel in range(sides[3]):
            out[channel, n] = sums[channel]
