"""What is sent off the image's grid, seen as an image; and the other way round, for leaks that are planted in it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional

from privaudit.imaging.patches import Shape


def as_image(sent: Tensor, shape: Shape) -> Tensor:
    """What was sent, resampled to a volume.

    A volume of another size is resampled; of channels the mean is. Anything else is laid out voxel by voxel in a cube
    first, which keeps all values, and no neighbourhood.

    Args:
        sent: of any shape: [x, y, z], [C, x, y, z], [x, y, z, C], [n], …
        shape: of the image.
    """
    axis = channel_axis(sent.shape, shape)
    if axis is not None:
        return resized(sent.mean(dim=axis), shape)
    if sent.ndim == 3:
        return resized(sent, shape)
    side = _side(sent.numel())
    cube = sent.new_zeros(side**3)
    cube[: sent.numel()] = sent.flatten()
    return resized(cube.reshape(side, side, side), shape)


def channels_of(sent: Tensor, shape: Shape) -> Tensor | None:
    """Channels [C, x, y, z] of what was sent, on a grid of their own; None where there are none."""
    axis = channel_axis(sent.shape, shape)
    return None if axis is None else sent.movedim(axis, 0)


def spread(image: Tensor, shape: Sequence[int]) -> Tensor:
    """An image [X, Y, Z] in the form of what is sent, so that :func:`as_image` shows it again, as finely as fits.

    >>> import torch
    >>> image = torch.rand(8, 8, 8)
    >>> torch.allclose(as_image(spread(image, (3, 16, 16, 16)), (8, 8, 8)), image, atol=0.5)
    True
    """
    x, y, z = image.shape
    axis = channel_axis(shape, (x, y, z))
    if axis is not None:
        sides = [*shape[:axis], *shape[axis + 1 :]]
        return resized(image, sides).unsqueeze(axis).expand(*shape).clone()
    if len(shape) == 3:
        return resized(image, shape)
    side, count = _side(math.prod(shape)), math.prod(shape)
    return resized(image, (side,) * 3).flatten()[:count].reshape(*shape)


def channel_axis(sent: Sequence[int], image: Shape) -> int | None:
    """Which axis of four counts channels, the first or the last; None where there are not four.

    It is the one that leaves the image's grid, else the shorter one.
    """
    if len(sent) != 4:
        return None
    fits = [axis for axis in (0, 3) if tuple(sent[1 - axis // 3 : 4 - axis // 3]) == tuple(image)]
    return fits[0] if fits else min((0, 3), key=lambda axis: sent[axis])


def _side(count: int) -> int:
    """Side of the smallest cube that holds so many values."""
    side = max(1, round(math.cbrt(count)))
    while side**3 < count:
        side += 1
    return side


def resized(volume: Tensor, sides: Sequence[int]) -> Tensor:
    """Means where a volume [x, y, z] shrinks along every axis, else linear between voxels."""
    if tuple(volume.shape) == tuple(sides):
        return volume.clone()
    batch = volume[None, None].float()
    if all(new <= old for new, old in zip(sides, volume.shape, strict=True)):
        return functional.adaptive_avg_pool3d(batch, (sides[0], sides[1], sides[2]))[0, 0]
    return functional.interpolate(batch, tuple(sides), mode="trilinear", align_corners=False)[0, 0]
