"""Means over neighbourhoods."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


def box(volume: Tensor, radius: int) -> Tensor:
    """Mean of a volume [X, Y, Z] over cubes of 2·radius + 1 voxels, at the border over what there is of it.

    No side of the volume may be shorter than the cubes'.
    """
    side, mean = 2 * radius + 1, volume[None, None]
    for axis in range(3):  # along one axis after the other: 3·side instead of side³ additions
        kernel, padding = [1, 1, 1], [0, 0, 0]
        kernel[axis], padding[axis] = side, radius
        mean = nn.functional.avg_pool3d(mean, kernel, stride=1, padding=padding, count_include_pad=False)
    return mean[0, 0]


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
