"""DP-Pix: cubes are averaged, and each mean gets Laplace noise with a stated ε.

Fan, "Image pixelization with differential privacy", DBSec 2018. Images count as neighbours if at most ``m`` voxels
differ; a mean over b³ voxels in [0, 1] then changes by m / b³ at most, and noise of scale m / (b³ ε) makes every cube ε
differentially private with regard to them. It says nothing about the person as a whole: a brain has more voxels than m.
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from privaudit.contracts.options import PluginOptions
from privaudit.contracts.seeded import SeededDefense, SeedKey
from privaudit.imaging.cubes import spread_over

TINY = 1e-12
"""Least distance of a uniform number from the ends, whose logarithm is taken."""


class DpPixOptions(PluginOptions):
    """How coarse, and how much noise."""

    block: Annotated[int, Field(ge=1)] = Field(default=4, description="side of the averaged cubes in voxels")
    epsilon: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        default=1.0, description="privacy budget of each cube; smaller is noisier; null: no noise, only pixelation"
    )
    voxels: Annotated[int, Field(ge=1)] = Field(
        default=16, description="m: images are neighbours that differ in so many voxels at most"
    )


class DpPixDefense(SeededDefense):
    """Means of cubes with fresh Laplace noise."""

    name = "dp-pix"
    summary = "pixelation with Laplace noise and its ε (DP-Pix, DBSec 2018)"
    Options = DpPixOptions
    options: DpPixOptions

    def hide(self, image: Tensor, key: SeedKey) -> Tensor:
        """Means with noise, each spread over its cube; values are not clipped."""
        side = self.options.block
        means = torch.nn.functional.avg_pool3d(image[None, None], side, ceil_mode=True)[0, 0]
        if self.options.epsilon is not None:
            scale = self.options.voxels / (side**3 * self.options.epsilon)
            half = (torch.rand(means.shape, generator=key.generator(), dtype=torch.float64) - 0.5).clamp(
                TINY - 0.5, 0.5 - TINY
            )
            means = means - scale * half.sign() * torch.log1p(-2 * half.abs())
        return spread_over(means.float(), side, image.shape)
