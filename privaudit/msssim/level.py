"""One level of MS-SSIM: the moments of an image, the similarity of two, and the step to the next level."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from privaudit.msssim.blur import Blur, Tile
from privaudit.msssim.profile import Profile


class Moments(NamedTuple):
    """What one level needs of an image, batched.

    Attributes:
        image: ``[N, X, Y, Z]``, in [0, data_range].
        mean: its Gaussian-weighted local mean, ``[N, X', Y', Z']`` with sides shorter by window - 1.
        spread: ``(local variance + C2 / 2) / 2`` of the same shape: two of them add up to half the denominator of
            the contrast-structure term.
    """

    image: Tensor
    mean: Tensor
    spread: Tensor


def halve(image: Tensor) -> Tensor:
    """Average blocks of 2x2x2 of ``[N, X, Y, Z]``; an odd side gets a zero before it, as pytorch-msssim pads."""
    for axis in (1, 2, 3):
        before, odd = (slice(None),) * axis, image.shape[axis] % 2
        summed = image[(*before, slice(odd, None, 2))] + image[(*before, slice(odd + 1, None, 2))]
        image = torch.cat([image.narrow(axis, 0, 1), summed], axis) if odd else summed
    return image.mul_(0.125)


def write_moments(blur: Blur, image: Tensor, profile: Profile, into: Moments) -> None:
    """Write the moments of ``image`` ``[1, X, Y, Z]``; needs a ``blur`` of two slots."""
    into.image.copy_(image)
    for tile in blur.tiles():
        mean, spread = _tile_moments(blur, tile, image, profile, slot=0)
        into.mean[tile.inner] = mean
        into.spread[tile.inner] = spread


def compare_moments(blur: Blur, one: Moments, many: Moments, profile: Profile, *, last: bool) -> Tensor:
    """Return the level's term for ``one`` image (N = 1) against each of ``many``.

    Args:
        blur: for the level's shape and the number of ``many``.
        one: moments of one image.
        many: moments of N images.
        profile: its C1 and C2 are used.
        last: whether this is the coarsest level, where the luminance term joins.

    Returns:
        ``[N]`` float64 in [0, 1].
    """
    total = one.image.new_zeros(len(many.image), dtype=torch.float64)
    for tile in blur.tiles():
        cross = blur(tile, one.image, many.image)
        total += _sum_similarity(
            blur,
            cross,
            (one.mean[tile.inner], one.spread[tile.inner]),
            (many.mean[tile.inner], many.spread[tile.inner]),
            profile,
            last,
        )
    return (total / blur.outputs).clamp_(0.0, 1.0)


def compare_images(blur: Blur, x: Tensor, y: Tensor, profile: Profile, *, last: bool) -> Tensor:
    """Return the level's term for N pairs of images without keeping moments; needs a ``blur`` of five slots.

    The arguments and the result are those of ``compare_moments``, with ``x`` and ``y`` both ``[N, X, Y, Z]``.
    """
    total = x.new_zeros(len(x), dtype=torch.float64)
    for tile in blur.tiles():
        of_x = _tile_moments(blur, tile, x, profile, slot=1)
        of_y = _tile_moments(blur, tile, y, profile, slot=3)
        total += _sum_similarity(blur, blur(tile, x, y), of_x, of_y, profile, last)
    return (total / blur.outputs).clamp_(0.0, 1.0)


def _tile_moments(blur: Blur, tile: Tile, image: Tensor, profile: Profile, slot: int) -> tuple[Tensor, Tensor]:
    """Return mean and spread of one tile, in the blur's ``slot`` and the one after it."""
    mean = blur(tile, image, slot=slot)
    spread = blur(tile, image, image, slot=slot + 1)
    return mean, spread.addcmul_(mean, mean, value=-1).add_(profile.c2 / 2).mul_(0.5)


def _sum_similarity(
    blur: Blur, cross: Tensor, one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], profile: Profile, last: bool
) -> Tensor:
    """Return, as ``[N]`` float64, one tile's sum of cs or ssim; overwrites ``cross``, the smoothed product.

    Every step is symmetric in ``one`` and ``other`` to the last bit.
    """
    (mean, spread), (other_mean, other_spread) = one, other
    denominator = torch.add(spread, other_spread, out=blur.scratch(cross))
    cross.addcmul_(mean, other_mean, value=-1).add_(profile.c2 / 2).div_(denominator)
    if last:
        product, squares = mean * other_mean, mean.square() + other_mean.square()
        cross.mul_(product.mul_(2).add_(profile.c1).div_(squares.add_(profile.c1)))
    return cross.flatten(1).sum(1).double()
