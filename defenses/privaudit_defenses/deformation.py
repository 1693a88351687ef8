"""Deformation-Proxy (Kim et al., BMVC 2021, arXiv 2011.12835): images are warped by a secret smooth deformation.

The server segments the warped image, the client unwarps the returned map. A generator, trained against a discriminator
of identities, makes the deformation from a private key; with ``--deformation.weights none`` nothing is trained, and the
fields are random: a simple rung.
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

from privaudit.contracts.cohort import Cohort, Volume
from privaudit.contracts.defense import Defense, Encoded, Key
from privaudit.imaging.deformation import coarse_shape, draw_velocity, integrate, resize, warp
from privaudit.imaging.patches import Shape
from privaudit.segmentation.clients import KEY_SIZE
from privaudit.segmentation.learned import LearnedDefense, LearnedOptions
from privaudit.segmentation.weights import Weights

RANDOM = "none"


class DeformationOptions(LearnedOptions):
    """How far, and how smoothly, voxels move."""

    weights: str = Field(
        default="auto",
        description="trained weights: a folder, or shipped ones by name; 'auto': shipped ones that fit; 'none': random"
        " fields, nothing trained",
    )
    strength: Annotated[float, Field(ge=0)] = Field(
        default=4.0,
        description="largest velocity in voxels; of random fields the standard deviation at their control points",
    )
    spacing: Annotated[int, Field(ge=4)] = Field(default=16, description="voxels between random control points")


@dataclass(frozen=True, eq=False, repr=False)
class DeformationKey(Key):
    """The secret velocity field [3, x, y, z], in voxels of its own grid, and the volume that it is for."""

    velocity: Tensor
    shape: Shape

    @torch.no_grad()
    def displacement(self, back: bool = False) -> Tensor:
        """[3, X, Y, Z] in voxels: there, or back."""
        return resize(integrate(-self.velocity if back else self.velocity), self.shape)


class DeformationDefense(LearnedDefense):
    """``image(x + u(x))`` with ``u`` the flow of a secret velocity field."""

    name = "deformation"
    summary = "secret smooth deformations from a trained generator, or random ones (Deformation-Proxy, BMVC 2021)"
    client = "velocity"
    lossless = False
    Options = DeformationOptions
    options: DeformationOptions

    def fitted(self, cohort: Cohort, victims: Sequence[str]) -> Defense:
        """The same with weights that fit, unless nothing is trained."""
        return self if self.options.weights == RANDOM else super().fitted(cohort, victims)

    @property
    def trained(self) -> Weights | None:
        """Its weights, if anything is trained."""
        return None if self.options.weights == RANDOM else super().trained

    @torch.no_grad()
    def draw_key(self, shape: Shape, pool: Sequence[Volume], rng: random.Random) -> DeformationKey:
        """Draw a field, or what the generator makes of a random key."""
        strength = self.options.strength
        if self.options.weights == RANDOM:
            return DeformationKey(draw_velocity(rng, shape, strength, self.options.spacing), shape)
        key = torch.tensor([[rng.gauss(0, 1) for _ in range(KEY_SIZE)]])
        return DeformationKey(strength / 2 * self.network(key, coarse_shape(shape))[0], shape)

    @torch.no_grad()
    def encode(self, image: Tensor, key: Key, views: int) -> Encoded:
        """Warp; all views are the same, since a second key would be a second chance."""
        assert isinstance(key, DeformationKey)
        warped = warp(image[None], key.displacement())
        return Encoded(warped[None].repeat(views, 1, 1, 1, 1), np.zeros((1, 3), dtype=np.int64))

    @torch.no_grad()
    def respond(self, labels: Tensor, key: Key, views: int) -> Tensor:
        """The labels of the warped image, soft where a voxel straddles two."""
        assert isinstance(key, DeformationKey)
        return warp(labels.float(), key.displacement())[None, None].repeat(views, 1, 1, 1, 1, 1)

    def decode(self, returned: Tensor, key: Key) -> Tensor:
        """Unwarp the mean of the returned maps, by the flow of the negated field."""
        return self.assemble(returned.mean(dim=0), key)

    @torch.no_grad()
    def assemble(self, maps: Tensor, key: Key) -> Tensor:
        """Unwarp the map of the whole volume [1, C, X, Y, Z]."""
        assert isinstance(key, DeformationKey)
        return warp(maps[0].float(), key.displacement(back=True))
