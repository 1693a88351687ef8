"""One level of MS-SSIM: the moments of an image, the similarity of two, and the step to the next level."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from privaudit.msssim.blur import Blur, Lane, Tile
from privaudit.msssim.lanes import share_out
from privaudit.msssim.profile import Profile


class Moments(NamedTuple):
    """What one level needs of an image, batched.

    Attributes:
        image: ``[N, X, Y, Z]``, in [0, data_range].
        mean: its Gaussian-weighted local mean, ``[N, X', Y', Z']`` with sides shorter by window - 1.
        spread: ``(local variance + C2 / 2) / 2`` of the same shape: two of them add up to half the denominator of
            the contrast-structure term.
        extent: ``[N, columns, 2]`` int32, for each of the blur's tiles the first output along Z whose window holds
            anything but zeros, and minus the one after the last. Outside, the mean is 0 and the spread C2 / 4, so where
            two images are both zero their term is exactly 1, and is not computed.
    """

    image: Tensor
    mean: Tensor
    spread: Tensor
    extent: Tensor


def halve(image: Tensor) -> Tensor:
    """Average blocks of 2x2x2 of ``[N, X, Y, Z]``; an odd side gets a zero before it, as pytorch-msssim pads."""
    for axis in (1, 2, 3):
        before, odd = (slice(None),) * axis, image.shape[axis] % 2
        summed = image[(*before, slice(odd, None, 2))] + image[(*before, slice(odd + 1, None, 2))]
        image = torch.cat([image.narrow(axis, 0, 1), summed], axis) if odd else summed
    return image.mul_(0.125)


def write_moments(blur: Blur, image: Tensor, profile: Profile, into: Moments) -> None:
    """Write the moments of ``image`` ``[1, X, Y, Z]``; needs a ``blur`` of two slots."""

    def write(tile: Tile, lane: int) -> None:
        extent = _extent(blur, tile, image)
        into.extent[:, tile.number] = extent
        mean, spread, part = tile.inner(into.mean), tile.inner(into.spread), _within(tile, extent)
        for outside in (slice(0, part.z.start), slice(part.z.stop, None)):
            mean[..., outside] = 0
            spread[..., outside] = profile.c2 / 4
        if part.voxels:
            mean[..., part.z], spread[..., part.z] = _tile_moments(blur, lane, part, image, profile, slot=0)

    into.image.copy_(image)
    share_out(write, blur.layout.tiles(1), len(blur.lanes))


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
    extent = torch.minimum(one.extent, many.extent)

    def add_up(tile: Tile, lane: int) -> Tensor | int:
        part = _within(tile, extent[tile.images, tile.number])
        if not part.voxels:
            return tile.voxels
        those = Moments(*(field[tile.images] for field in many))
        cross = blur(blur.lanes[lane], part, one.image, those.image)
        of_one, of_those = ((part.inner(some.mean), part.inner(some.spread)) for some in (one, those))
        return _sum_similarity(blur.lanes[lane], cross, of_one, of_those, profile, last) + (tile.voxels - part.voxels)

    return _mean_over_tiles(blur, len(many.image), add_up)


def compare_images(blur: Blur, x: Tensor, y: Tensor, profile: Profile, *, last: bool) -> Tensor:
    """Return the level's term for N pairs of images without keeping moments; needs a ``blur`` of five slots.

    The arguments and the result are those of ``compare_moments``, with ``x`` and ``y`` both ``[N, X, Y, Z]``.
    """

    def add_up(tile: Tile, lane: int) -> Tensor | int:
        of_x, of_y = x[tile.images], y[tile.images]
        part = _within(tile, torch.minimum(_extent(blur, tile, of_x), _extent(blur, tile, of_y)))
        if not part.voxels:
            return tile.voxels
        moments_x = _tile_moments(blur, lane, part, of_x, profile, slot=1)
        moments_y = _tile_moments(blur, lane, part, of_y, profile, slot=3)
        cross = blur(blur.lanes[lane], part, of_x, of_y)
        outside = tile.voxels - part.voxels
        return _sum_similarity(blur.lanes[lane], cross, moments_x, moments_y, profile, last) + outside

    return _mean_over_tiles(blur, len(x), add_up)


def _mean_over_tiles(blur: Blur, batch: int, add_up: Callable[[Tile, int], Tensor | int]) -> Tensor:
    """Return ``[batch]`` float64 means in [0, 1] of what ``add_up`` sums over each tile, given a lane's number."""
    tiles = blur.layout.tiles(batch)
    total = torch.zeros(batch, dtype=torch.float64, device=blur.lanes[0].even.device)
    for tile, part in zip(tiles, share_out(add_up, tiles, len(blur.lanes)), strict=True):
        total[tile.images] += part
    return (total / math.prod(blur.layout.outputs)).clamp_(0.0, 1.0)


def _extent(blur: Blur, tile: Tile, images: Tensor) -> Tensor:
    """Return ``[N, 2]`` int32, as ``Moments.extent`` has it for one tile; all of it on other devices than a CPU."""
    end = tile.z.stop
    everything = torch.tensor([[0, -end]], dtype=torch.int32).expand(len(images), 2)
    if images.device.type != "cpu":
        return everything
    filled = tile.outer(images, blur.window).abs().sum((1, 2)).ne(0)
    rows: list[list[int]] = []
    for image in filled:
        z = image.nonzero()
        first, last = (int(z[0]), int(z[-1])) if len(z) else (end, -1)
        rows.append([max(0, first - blur.window + 1) if len(z) else end, -min(end, last + 1)])
    return torch.tensor(rows, dtype=torch.int32)


def _within(tile: Tile, extent: Tensor) -> Tile:
    """Return the part of ``tile`` along Z that any of ``extent`` ``[N, 2]`` reaches; perhaps nothing."""
    first, stop = extent.amin(0).tolist()
    return tile._replace(z=slice(first, max(first, -stop)))


def _tile_moments(
    blur: Blur, lane: int, tile: Tile, image: Tensor, profile: Profile, slot: int
) -> tuple[Tensor, Tensor]:
    """Return mean and spread of one tile, in the lane's ``slot`` and the one after it."""
    mean = blur(blur.lanes[lane], tile, image, slot=slot)
    spread = blur(blur.lanes[lane], tile, image, image, slot=slot + 1)
    return mean, spread.addcmul_(mean, mean, value=-1).add_(profile.c2 / 2).mul_(0.5)


def _sum_similarity(
    lane: Lane, cross: Tensor, one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor], profile: Profile, last: bool
) -> Tensor:
    """Return, as ``[N]`` float64, one tile's sum of cs or ssim; overwrites ``cross``, the smoothed product.

    Every step is symmetric in ``one`` and ``other`` to the last bit.
    """
    (mean, spread), (other_mean, other_spread) = one, other
    denominator = torch.add(spread, other_spread, out=lane.scratch(cross))
    cross.addcmul_(mean, other_mean, value=-1).add_(profile.c2 / 2).div_(denominator)
    if last:
        product, squares = mean * other_mean, mean.square() + other_mean.square()
        cross.mul_(product.mul_(2).add_(profile.c1).div_(squares.add_(profile.c1)))
    return cross.flatten(1).sum(1).double()
