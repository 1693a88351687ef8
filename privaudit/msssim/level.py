"""One level of MS-SSIM: the moments of an image, the similarity of two, and the step to the next level."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from privaudit.msssim.kernels import gaussian_taps, on_slabs, slab_moments, slab_similarity, valid_shape
from privaudit.msssim.profile import Profile


class Moments(NamedTuple):
    """What one level needs of an image, batched, contiguous and on the CPU.

    Attributes:
        image: ``[N, X, Y, Z]``, in [0, data_range].
        mean: its Gaussian-weighted local mean, ``[N, X', Y', Z']`` with sides shorter by window - 1.
        spread: ``(local variance + C2 / 2) / 2`` of the same shape: two of them add up to half the denominator of
            the contrast-structure term.
    """

    image: Tensor
    mean: Tensor
    spread: Tensor

    @classmethod
    def empty(cls, n: int, shape: tuple[int, int, int], window: int, dtype: torch.dtype = torch.float32) -> Moments:
        """Return room for the moments of ``n`` images."""
        small = valid_shape(shape, window)
        return cls(*(torch.empty(n, *sides, dtype=dtype) for sides in (shape, small, small)))


def halve(image: Tensor) -> Tensor:
    """Average blocks of 2x2x2 of ``[N, X, Y, Z]``; an odd side gets a zero before it, as pytorch-msssim pads."""
    for axis in (1, 2, 3):
        before, odd = (slice(None),) * axis, image.shape[axis] % 2
        summed = image[(*before, slice(odd, None, 2))] + image[(*before, slice(odd + 1, None, 2))]
        image = torch.cat([image.narrow(axis, 0, 1), summed], axis) if odd else summed
    return image.mul_(0.125)


def write_moments(image: Tensor, profile: Profile, into: Moments) -> None:
    """Write the moments of ``image`` ``[1, X, Y, Z]``."""
    into.image.copy_(image)
    whole, mean, spread = (part[0].numpy() for part in into)
    taps, count = gaussian_taps(profile.window, profile.sigma, into.image.dtype), (0,) * profile.window
    half_c2 = taps.dtype.type(profile.c2 / 2)
    on_slabs(lambda start, stop: slab_moments(whole, taps, count, half_c2, mean, spread, start, stop), len(mean))


def compare_moments(
    one: Moments, many: Moments, profile: Profile, *, last: bool, share: Tensor | None = None
) -> Tensor:
    """Return the level's term for ``one`` image (N = 1) against each of ``many``: a mean over the map of similarities.

    Args:
        one: moments of one image.
        many: moments of N images.
        profile: its Gaussian, C1 and C2 are used.
        last: whether this is the coarsest level, where the luminance term joins.
        share: weights of the mean, ``[X', Y', Z']`` of the images' type, not all 0; None: all the same.

    Returns:
        ``[N]`` float64 in [0, 1].
    """
    taps, count = gaussian_taps(profile.window, profile.sigma, one.image.dtype), (0,) * profile.window
    c1, half_c2 = taps.dtype.type(profile.c1), taps.dtype.type(profile.c2 / 2)
    image, mean, spread = (part[0].numpy() for part in one)
    others = list(zip(*(part.numpy() for part in many), strict=True))
    weights = () if share is None else (share.numpy(),)

    def add_up(start: int, stop: int) -> list[float]:
        rest = taps, count, c1, half_c2, last, start, stop, *weights
        return [slab_similarity(image, other[0], mean, spread, other[1], other[2], *rest) for other in others]

    total = np.sum(on_slabs(add_up, len(mean)), axis=0)
    size = mean.size if share is None else float(share.double().sum())
    return torch.from_numpy(total / size).clamp_(0.0, 1.0)
