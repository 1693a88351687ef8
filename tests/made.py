"""Schemes made of a function, for tests of what attackers learn."""

import random
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from privaudit.contracts.cohort import Volume
from privaudit.contracts.defense import Defense, Encoded, Key
from privaudit.imaging.patches import Shape


class Seeded(Key):
    def __init__(self, seed: int) -> None:
        self.seed = seed


class Made(Defense):
    """Sends views that a function makes of an image and a generator."""

    name = "made"
    summary = "made of a function"

    def __init__(self, make: Callable[[Tensor, torch.Generator], Tensor]) -> None:
        super().__init__()
        self.make = make

    def draw_key(self, shape: Shape, pool: Sequence[Volume], rng: random.Random) -> Key:
        return Seeded(rng.getrandbits(40))

    def encode(self, image: Tensor, key: Key, views: int) -> Encoded:
        assert isinstance(key, Seeded)
        g = torch.Generator().manual_seed(key.seed)
        return Encoded(torch.stack([self.make(image, g)[None] for _ in range(views)]), np.zeros((1, 3), dtype=np.int64))

    def respond(self, labels: Tensor, key: Key, views: int) -> Tensor:
        return labels[None, None].repeat(views, 1, 1, 1, 1, 1)


def noise(image: Tensor, g: torch.Generator) -> Tensor:
    return torch.rand(image.shape, generator=g)
