"""The compiled inner loops of MS-SSIM: Gaussian moments of a slab of a volume, and the similarity of two.

A slab's planes are smoothed along Z and Y into a ring of as many planes as the window has taps, and added up along X
from there. So each volume is read once and all that lies between stays in the processor's cache, which is what makes
this several times faster than whole-volume convolutions.
"""

from __future__ import annotations

import functools
import itertools
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from privaudit.compiling import compiled

Shape = tuple[int, int, int]
Array = NDArray[Any]
R = TypeVar("R")

SLAB: Final = 48
"""About how many output planes a slab has; fixed, so that sums do not depend on the number of threads."""


@functools.cache
def gaussian_taps(window: int, sigma: float, dtype: torch.dtype) -> Array:
    """Return the ``window`` taps exactly as pytorch-msssim computes them, in float32 (their sum is 1 to round-off)."""
    offsets = torch.arange(window, dtype=torch.float32) - window // 2
    taps = torch.exp(-(offsets**2) / (2 * sigma**2))
    values: Array = (taps / taps.sum()).to(dtype).numpy()
    return values


def valid_shape(shape: Shape, window: int) -> Shape:
    """Return the shape that a valid convolution leaves of ``shape``."""
    return shape[0] - window + 1, shape[1] - window + 1, shape[2] - window + 1


def ring_elements(shape: Shape, window: int) -> int:
    """Return the most elements that one call on a slab holds: two rings of planes, and rows for one."""
    _, y, z = valid_shape(shape, window)
    return (2 * window * y + shape[1]) * z


def slabs(planes: int) -> list[tuple[int, int]]:
    """Return the ranges of output planes to work on apart: one for few planes, else an even number of them."""
    count = 1 if planes <= SLAB // 2 else 2 * math.ceil(planes / (2 * SLAB))
    edges = [planes * number // count for number in range(count + 1)]
    return list(itertools.pairwise(edges))


def on_slabs(work: Callable[[int, int], R], planes: int) -> list[R]:
    """Return ``work(start, stop)`` of every slab, in order, on as many threads as torch would use."""
    parts = slabs(planes)
    threads = min(torch.get_num_threads(), len(parts))
    if threads == 1:
        return [work(*part) for part in parts]
    return list(_pool(threads).map(lambda part: work(*part), parts))


@functools.cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="privaudit-msssim")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)


@compiled("contract")
def smooth_plane(a: Array, b: Array, taps: Array, count: tuple[int, ...], rows: Array, out: Array) -> None:
    """Smooth ``a * b`` (both ``[Y, Z]``) along Z into ``rows``, and those along Y into ``out``.

    ``count`` is a tuple as long as the window: its length is a constant to the compiler, which then unrolls the taps.
    """
    window = len(count)
    line = np.empty(a.shape[1], a.dtype)
    for y in range(a.shape[0]):
        for z in range(a.shape[1]):
            line[z] = a[y, z] * b[y, z]
        for z in range(rows.shape[1]):
            total = taps[0] * line[z]
            for k in range(1, window):
                total += taps[k] * line[z + k]
            rows[y, z] = total
    for y in range(out.shape[0]):
        for z in range(out.shape[1]):
            total = taps[0] * rows[y, z]
            for k in range(1, window):
                total += taps[k] * rows[y + k, z]
            out[y, z] = total


@compiled("contract")
def rotate(taps: Array, by: int, out: Array) -> None:
    """Write the taps in the order in which the ring holds the planes from number ``by`` on."""
    for k in range(len(taps)):
        out[(by + k) % len(taps)] = taps[k]


@compiled("reassoc", "nsz")
def add_up(line: Array) -> Any:
    """Return the sum of a line, in whatever order is fast."""
    total = line[0] - line[0]
    for value in line:
        total += value
    return total


@compiled()
def covariance(smoothed: Any, one: Any, other: Any, half_c2: Any) -> Any:
    """Return a local covariance plus C2 / 2; rounded step by step, so the same wherever it is inlined."""
    return smoothed - one * other + half_c2


@compiled("contract")
def slab_moments(
    image: Array, taps: Array, count: tuple[int, ...], half_c2: Any, mean: Array, spread: Array, start: int, stop: int
) -> None:
    """Write planes ``start`` to ``stop`` of the local mean, and of (local variance + C2 / 2) / 2.

    Args:
        image: ``[X, Y, Z]``.
        taps: of the Gaussian, ``[W]``.
        count: any tuple of W integers.
        half_c2: C2 / 2 and
        mean: ``[X - W + 1, Y - W + 1, Z - W + 1]``, all of the image's type, as are
        spread: of the same shape, and ``taps``.
        start: first plane.
        stop: one after the last.
    """
    window, y_out, z_out = len(count), mean.shape[1], mean.shape[2]
    half = half_c2 / (half_c2 + half_c2)
    ones = np.ones(image.shape[1:], image.dtype)
    rows = np.empty((image.shape[1], z_out), image.dtype)
    first, second = np.empty((window, y_out, z_out), image.dtype), np.empty((window, y_out, z_out), image.dtype)
    turned = np.empty_like(taps)
    for x in range(start, stop + window - 1):
        smooth_plane(image[x], ones, taps, count, rows, first[x % window])
        smooth_plane(image[x], image[x], taps, count, rows, second[x % window])
        at = x - window + 1
        if at < start:
            continue
        rotate(taps, at, turned)
        for y in range(y_out):
            for z in range(z_out):
                one = turned[0] * first[0, y, z]
                two = turned[0] * second[0, y, z]
                for k in range(1, window):
                    one += turned[k] * first[k, y, z]
                    two += turned[k] * second[k, y, z]
                mean[at, y, z] = one
                spread[at, y, z] = covariance(two, one, one, half_c2) * half


@compiled("contract")
def slab_similarity(
    a: Array,
    b: Array,
    a_mean: Array,
    a_spread: Array,
    b_mean: Array,
    b_spread: Array,
    taps: Array,
    count: tuple[int, ...],
    c1: Any,
    half_c2: Any,
    last: bool,
    start: int,
    stop: int,
    share: Array | None = None,
) -> float:
    """Return the sum over planes ``start`` to ``stop`` of cs, or of ssim at the ``last`` level.

    The arguments are those of ``slab_moments``; ``share``, of the shape of the means, weighs the terms. Every step is
    symmetric in ``a`` and ``b`` to the last bit, and rounds as in ``slab_moments``, so an image's cs with itself is
    exactly 1.
    """
    window, y_out, z_out = len(count), a_mean.shape[1], a_mean.shape[2]
    rows = np.empty((a.shape[1], z_out), a.dtype)
    ring = np.empty((window, y_out, z_out), a.dtype)
    turned, line = np.empty_like(taps), np.empty(z_out, a.dtype)
    total = 0.0
    for x in range(start, stop + window - 1):
        smooth_plane(a[x], b[x], taps, count, rows, ring[x % window])
        at = x - window + 1
        if at < start:
            continue
        rotate(taps, at, turned)
        for y in range(y_out):
            for z in range(z_out):
                cross = turned[0] * ring[0, y, z]
                for k in range(1, window):
                    cross += turned[k] * ring[k, y, z]
                one, other = a_mean[at, y, z], b_mean[at, y, z]
                value = covariance(cross, one, other, half_c2) / (a_spread[at, y, z] + b_spread[at, y, z])
                if last:
                    apart, twice = one - other, one * other + one * other
                    value *= (twice + c1) / (apart * apart + twice + c1)
                if share is not None:  # decided when compiling
                    value *= share[at, y, z]
                line[z] = value
            total += add_up(line)
    return total
