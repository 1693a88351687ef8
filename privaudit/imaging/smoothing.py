"""Means over neighbourhoods."""

from __future__ import annotations

from torch import Tensor, nn


def box(volume: Tensor, radius: int) -> Tensor:
    """Mean of a volume [X, Y, Z] over cubes of 2·radius + 1 voxels, at the border over what there is of it."""
    side = 2 * radius + 1
    mean: Tensor = nn.functional.avg_pool3d(volume[None, None], side, stride=1, padding=radius, count_include_pad=False)
    return mean[0, 0]
