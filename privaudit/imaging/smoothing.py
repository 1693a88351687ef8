"""Means over neighbourhoods."""

from __future__ import annotations

import math

import torch
from scipy import ndimage
from torch import Tensor, nn


def box(volume: Tensor, radius: int) -> Tensor:
    """Mean of a volume [X, Y, Z] over cubes of 2·radius + 1 voxels, at the border over what there is of it."""
    side = 2 * radius + 1
    # With zeros around: running sums take the same time for any radius.
    mean = torch.from_numpy(ndimage.uniform_filter(volume.numpy(), side, mode="constant"))
    for axis, size in enumerate(volume.shape):
        place = torch.arange(size, dtype=volume.dtype)
        there = (place + radius).clamp_max(size - 1) - (place - radius).clamp_min(0) + 1
        mean *= (side / there).reshape([-1 if axis == other else 1 for other in range(volume.ndim)])
    return mean


def gaussian(volumes: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of volumes [B, X, Y, Z] with zeros around them; the kernel ends at four standard deviations.

    Args:
        volumes: any range of values.
        sigma: standard deviation in voxels, above 0.
    """
    radius = math.ceil(4 * sigma)
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=volumes.dtype) / sigma) ** 2)
    blurred = volumes[:, None]
    for axis in range(3):
        sides, padding = [1, 1, 1], [0, 0, 0]
        sides[axis], padding[axis] = 2 * radius + 1, radius
        blurred = nn.functional.conv3d(blurred, (taps / taps.sum()).reshape(1, 1, *sides), padding=padding)
    return blurred[:, 0]
