"""Images of an attacker's own choice: does an encoder repeat itself, is it a linear map, and which voxel reaches where?

What is sent of an image is a vector of m numbers. Probes lie around a base image, the attacker's atlas, and inside
[0, 1], so that neither clipping nor a normalisation of whole images shows where victims are not.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Floats = NDArray[np.float64]
Send = Callable[[Floats], Floats]
"""From an image [X, Y, Z] to all that is sent of it, [m]; each call has a fresh key."""
SMOOTH: Final = 1.0
"""Standard deviation in voxels of the filter that likely changes are smoothed with."""
STEP: Final = 0.25
"""Greatest change of a voxel: two of them stay inside [0, 1]."""


def inward(base: Floats) -> Floats:
    """For each voxel of an image in [0, 1] the direction, 1 or -1, in which at least 0.5 is left."""
    return np.where(base < 0.5, 1.0, -1.0)


def own_changes(base: Floats, rng: np.random.Generator) -> Floats:
    """A random change [X, Y, Z] of an image, each voxel by up to :data:`STEP`, inside [0, 1]."""
    return np.asarray(STEP * inward(base) * rng.random(base.shape))


def likely_changes(variance: Floats, rng: np.random.Generator) -> Floats:
    """A random change [X, Y, Z] with this variance of each voxel, smooth as people's differences are."""
    smooth = gaussian_filter(rng.standard_normal(variance.shape), SMOOTH)
    return np.asarray(np.sqrt(variance) * smooth / smooth.std())


def root_mean_square(values: Floats) -> float:
    """Root of the mean square; 0 of nothing."""
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else 0.0


def share(part: Floats, whole: Floats) -> float:
    """Root mean square of a part in that of a whole, at most 1e6; 1 where there is no whole: nothing is told by it."""
    whole_size = root_mean_square(whole)
    return 1.0 if whole_size == 0 else min(1e6, root_mean_square(part) / whole_size)


def repeats(send: Send, base: Floats, rng: np.random.Generator) -> float:
    """By how much encodings of one image under two fresh keys differ, as a share of how much two images' do.

    0 is a scheme that is deterministic, with one key for everything.
    """
    other = base + own_changes(base, rng)
    first, again, apart = send(base), send(base), send(other)
    return max(share(again - first, apart - first), share(send(other) - apart, apart - first))


def averaged(send: Send, times: int) -> Send:
    """Sends an image several times, and gives the mean of what is sent."""
    return send if times == 1 else lambda image: np.asarray(np.mean([send(image) for _ in range(times)], axis=0))


def spread_of(send: Send, base: Floats) -> float:
    """Standard deviation of what is sent of one image, by two encodings."""
    return root_mean_square(send(base) - send(base)) / 2**0.5


def drawn_twice(send: Send, base: Floats, times: int) -> int:
    """How many of so many encodings of one image are equal to an earlier one: keys are few then."""
    return times - len({send(base).tobytes() for _ in range(times)})


def departs(send: Send, base: Floats, rng: np.random.Generator) -> float:
    """By how much an encoder departs from a linear map and a constant, as a share of what a change changes.

    Two changes together must do what each does alone: f(x + a + b) - f(x) = f(x + a) - f(x) + f(x + b) - f(x). One is
    random in every voxel; of the other, every voxel changes by as much, which whole-image normalisations notice.
    """
    one, other = own_changes(base, rng), STEP * inward(base)
    nothing, both = send(base), send(base + one + other)
    return share(both - send(base + one) - send(base + other) + nothing, both - nothing)


def positions(send: Send, low: Floats, high: Floats) -> tuple[NDArray[np.int64], Floats]:
    """Which voxel each number that is sent depends on, where it is one alone: log2 N probes and their complements.

    Voxels are numbered in binary. In a probe those with a one in some place are high, the others low, and in its
    complement the other way round: by which of the two is greater each number tells that digit of its voxel.

    Args:
        send: the encoder.
        low: an image [X, Y, Z].
        high: another one, different in every voxel.

    Returns:
        The voxel's flat index, int64 [m], -1 where it is none or several; and what is sent of it high, less low, [m].
    """
    index = np.arange(low.size).reshape(low.shape)
    whole = send(high) - send(low)
    sizes = np.abs(whole)
    single = sizes > 1e-5 * max(float(sizes.max(initial=0)), 1e-300)
    where, change = np.zeros(len(whole), dtype=np.int64), np.zeros(len(whole))
    digits = max(1, int(low.size - 1).bit_length())
    for digit in range(digits):
        one = (index >> digit) & 1 == 1
        difference = send(np.where(one, high, low)) - send(np.where(one, low, high))
        up = difference * whole > 0
        single &= np.abs(np.abs(difference) - sizes) <= 0.5 * sizes
        where += up.astype(np.int64) << digit
        change += np.where(up, difference, -difference) / digits
    return np.where(single & (where < low.size), where, -1), change
