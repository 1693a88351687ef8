"""Schemes that attacks are checked on: noise, and for attacks on references noise and nothing but the reference."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from privaudit.contracts.cohort import Volume
from privaudit.contracts.defense import Encoded, Key
from privaudit.contracts.seeded import SeededDefense, SeedKey
from privaudit.imaging.patches import Shape, as_tensor


class OnlyNoise(SeededDefense):
    """Sends noise, and nothing else."""

    name = "only-noise"
    summary = "noise"

    def hide(self, image: Tensor, key: SeedKey) -> Tensor:
        """Noise."""
        return torch.rand(image.shape, generator=key.generator())

    def respond(self, labels: Tensor, key: Key, views: int) -> Tensor:
        """Noise too: the map that helps the client comes by another way."""
        assert isinstance(key, SeedKey)
        return torch.rand((1, 1, *labels.shape), generator=key.generator())


@dataclass(frozen=True, repr=False)
class OthersKey(SeedKey):
    """A seed, and whose image is taken: its place in the pool, and the pool."""

    index: int
    pool: Sequence[Volume]


class NoiseForOthers(OnlyNoise):
    """Draws a reference, and sends noise: nothing of either person."""

    name = "noise-for-others"
    needs_pool = True

    def draw_key(self, shape: Shape, pool: Sequence[Volume], rng: random.Random) -> Key:
        """A fresh seed and a person of the pool."""
        return OthersKey(rng.getrandbits(256), rng.randrange(len(pool)), pool)

    def bystanders(self, key: Key, views: int) -> Tensor | None:
        """Their image."""
        assert isinstance(key, OthersKey)
        return as_tensor(key.pool[key.index].image)[None, None]

    def owners(self, key: Key) -> tuple[int, ...]:
        """That person."""
        assert isinstance(key, OthersKey)
        return (key.index,)


class OnlyOthers(NoiseForOthers):
    """Sends the reference as it is."""

    name = "only-others"
    summary = "the reference"

    def encode(self, image: Tensor, key: Key, views: int) -> Encoded:
        """The reference."""
        sent, others = super().encode(image, key, views), self.bystanders(key, views)
        assert others is not None
        return Encoded(others, sent.positions)
