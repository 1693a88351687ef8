"""Schemes made of a function, for tests of what attackers learn; and the config of weights that nobody trained."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from privaudit.contracts.cohort import Volume
from privaudit.contracts.defense import Defense, Encoded, Key
from privaudit.imaging.patches import Shape
from privaudit.segmentation.networks import NetworkConfig
from privaudit.segmentation.weights import WeightsConfig


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


def untrained(network: NetworkConfig, defense: dict[str, Any]) -> WeightsConfig:
    """What every folder of weights says of itself, of a network for a scheme."""
    return WeightsConfig(
        network=network, labels={0: "background", 1: "CSF", 2: "GM", 3: "WM"}, voxel_mm=1.0, patch_size=32,
        defense=defense, people=[], scores={},
        dataset={
            "name": "blobs", "kind": "virtual", "simulated": None, "people": 0, "scans": 0, "validation_people": 0,
            "fingerprint": "0" * 64,
        },
        training={
            "version": "0", "steps": 0, "seconds": 0.0, "device": "cpu", "threads": 1, "command": "none",
            "options": {"batch": 1},
        },
    )  # fmt: skip
