"""Pairs of image and encoding for the network of ``invert``: the attacker's own people, warped, under fresh keys."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

import numpy as np
import torch
from torch import Tensor

from privaudit.contracts.cohort import Volume
from privaudit.contracts.defense import Defense
from privaudit.contracts.transcript import Transcript
from privaudit.imaging.deformation import coarse_shape, draw_velocity, integrate, resize, warp
from privaudit.imaging.patches import Shape, as_tensor
from privaudit.learning.inversion import Inverter
from privaudit.learning.inversion_network import window_of
from privaudit.learning.own_people import OneByOne, Others, send_own

SPACING: Final = 8
"""Voxels of half the resolution between the control points of the warps."""
STRENGTH: Final = 1.0
"""Largest standard deviation of their velocity at control points, in the same voxels."""


@dataclass(frozen=True)
class OwnPairs:
    """The attacker's people as they are sent.

    Args:
        scheme: what encodes; only the keys of its users are secret.
        people: the attacker's own.
        linear: the linear de-encoder, with the atlas of them all.
        views: of each encoding.
        returned: whether the maps that come back are known too.
    """

    scheme: Defense
    people: Sequence[Volume]
    linear: Inverter
    views: int
    returned: bool

    def draw(self, person: int, rng: np.random.Generator, warped: bool) -> tuple[Tensor, Transcript]:
        """A person's image [X, Y, Z], or a smooth warp of it, and what is sent of it under a fresh key.

        References are warps of other people: a dozen brains that came back in every mixture would be learned by heart,
        and a user's references are none of them.

        Args:
            person: index of who is sent.
            rng: of key and warps.
            warped: whether the person is.
        """
        volume, keys = self.people[person], random.Random(int(rng.integers(2**62)))
        shape = _shape(volume)
        if warped:
            volume = warped_volume(volume, smooth_warp(keys, shape, STRENGTH * keys.random()))
        others = Warps(Others(self.people, person), keys.getrandbits(62))
        classes = self.classes if self.returned else None
        return as_tensor(volume.image), send_own(self.scheme, volume, others, keys, self.views, classes)

    @cached_property
    def classes(self) -> int:
        """Of the maps, background included."""
        return 1 + max(int(volume.labels.max()) for volume in self.people)


def smooth_warp(rng: random.Random, shape: Shape, strength: float) -> Tensor:
    """A displacement [3, *shape] as people might differ by, made at half the resolution."""
    velocity = draw_velocity(rng, coarse_shape(shape), strength, SPACING)
    return resize(integrate(velocity), shape)


def warped_volume(volume: Volume, displacement: Tensor) -> Volume:
    """A volume, warped; labels are those of the nearest voxel."""
    image = warp(as_tensor(volume.image)[None], displacement)[0].numpy()
    voxels = torch.meshgrid(*(torch.arange(side) for side in volume.labels.shape), indexing="ij")
    nearest = tuple(
        (at + by).round().long().clamp(0, side - 1).numpy()
        for at, by, side in zip(voxels, displacement, volume.labels.shape, strict=True)
    )
    return replace(volume, image=image, labels=volume.labels[nearest])


class Warps(OneByOne):
    """Volumes, each warped when it is first asked for, all by one field."""

    def __init__(self, volumes: Sequence[Volume], seed: int) -> None:
        self._volumes, self._seed = volumes, seed
        self._made: dict[int, Volume] = {}

    def __len__(self) -> int:
        return len(self._volumes)

    def one(self, index: int) -> Volume:
        """A warped volume."""
        if index not in self._made:
            self._made[index] = warped_volume(self._volumes[index], self._displacement)
        return self._made[index]

    @cached_property
    def _displacement(self) -> Tensor:
        rng = random.Random(self._seed)
        return smooth_warp(rng, _shape(self._volumes[0]), STRENGTH * rng.random())


def _shape(volume: Volume) -> Shape:
    x, y, z = volume.image.shape
    return x, y, z


@dataclass(frozen=True, eq=False)
class Lesson:
    """One pair to learn from, patch by patch: inputs [N, C, *patch], what the base lacks, and where it counts."""

    told: Tensor
    lacking: Tensor
    counts: Tensor

    def window(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """A window of a patch around a voxel that counts: [C, *window], [*window], [*window]."""
        places = torch.nonzero(self.counts)
        patch, *centre = places[int(rng.integers(len(places)))].tolist()
        sides = self.counts.shape[1:]
        window = window_of((sides[0], sides[1], sides[2]))
        starts = [
            min(max(0, at - size // 2), side - size) for at, size, side in zip(centre, window, sides, strict=True)
        ]
        x, y, z = (slice(start, start + size) for start, size in zip(starts, window, strict=True))
        return self.told[patch, :, x, y, z], self.lacking[patch, x, y, z], self.counts[patch, x, y, z]
