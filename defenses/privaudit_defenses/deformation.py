"""Deformation-Proxy without training: images are warped by a secret smooth deformation, returned maps unwarped.

The published scheme (Kim et al., BMVC 2021, arXiv 2011.12835) learns a generator of such deformations from a random
key. This is its simple rung: random smooth fields of a stated strength.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from privaudit.cohort import Volume
from privaudit.defense import Defense, Encoded, Key
from privaudit.deformation import draw_velocity, integrate, warp
from privaudit.options import PluginOptions
from privaudit.patches import Shape


class DeformationOptions(PluginOptions):
    """How far, and how smoothly, voxels move."""

    strength: Annotated[float, Field(ge=0)] = Field(
        default=4.0, description="standard deviation of the velocity at the control points, in voxels"
    )
    spacing: Annotated[int, Field(ge=4)] = Field(default=16, description="voxels between control points")


@dataclass(frozen=True, eq=False, repr=False)
class DeformationKey(Key):
    """The secret velocity field [3, X, Y, Z], in voxels."""

    velocity: Tensor


class DeformationDefense(Defense):
    """``image(x + u(x))`` with ``u`` the flow of a secret random velocity field."""

    name = "deformation"
    summary = "secret random smooth deformations (Deformation-Proxy, BMVC 2021, without its training)"
    lossless = False
    Options = DeformationOptions
    options: DeformationOptions

    def draw_key(self, shape: Shape, pool: Sequence[Volume], rng: random.Random) -> DeformationKey:
        """Draw a field."""
        return DeformationKey(draw_velocity(rng, shape, self.options.strength, self.options.spacing))

    def encode(self, image: Tensor, key: Key, views: int) -> Encoded:
        """Warp; all views are the same, since a second key would be a second chance."""
        assert isinstance(key, DeformationKey)
        warped = warp(image[None], integrate(key.velocity))
        return Encoded(warped[None].repeat(views, 1, 1, 1, 1), np.zeros((1, 3), dtype=np.int64))

    def respond(self, labels: Tensor, key: Key, views: int) -> Tensor:
        """The labels of the warped image, soft where a voxel straddles two."""
        assert isinstance(key, DeformationKey)
        return warp(labels.float(), integrate(key.velocity))[None, None].repeat(views, 1, 1, 1, 1, 1)

    def decode(self, returned: Tensor, key: Key) -> Tensor:
        """Unwarp the mean of the returned maps, by the flow of the negated field."""
        return self.assemble(returned.mean(dim=0), key)

    def assemble(self, maps: Tensor, key: Key) -> Tensor:
        """Unwarp the map of the whole volume [1, C, X, Y, Z]."""
        assert isinstance(key, DeformationKey)
        with torch.no_grad():
            return warp(maps[0].float(), integrate(-key.velocity))
