"""Schemes that send one view of the whole volume, and whose keys are seeds: a method and nothing else to write."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from privaudit.contracts.cohort import Volume
from privaudit.contracts.defense import Defense, Encoded, Key
from privaudit.imaging.patches import Shape


@dataclass(frozen=True, repr=False)
class SeedKey(Key):
    """Everything secret about one scan comes from this seed; 256 bits of it are what a cipher takes."""

    seed: int

    def generator(self) -> torch.Generator:
        """A generator on the CPU; equal keys give equal draws."""
        return torch.Generator().manual_seed(self.seed % 2**63)


class SeededDefense(Defense):
    """One view of the whole volume, by :meth:`hide`.

    The server sends back maps of what it sees: by default they lie where the image's structures do.
    """

    def draw_key(self, shape: Shape, pool: Sequence[Volume], rng: random.Random) -> Key:
        """A fresh seed."""
        return SeedKey(rng.getrandbits(256))

    def encode(self, image: Tensor, key: Key, views: int) -> Encoded:
        """The hidden image as one view of one patch: float32 [1, 1, X, Y, Z]."""
        assert isinstance(key, SeedKey)
        hidden = self.hide(image.float().clone(), key)
        return Encoded(hidden.float().contiguous()[None, None], np.zeros((1, 3), dtype=np.int64))

    def hide(self, image: Tensor, key: SeedKey) -> Tensor:
        """Hide an image [X, Y, Z] with values in [0, 1]; the result has its shape. The argument may be written on."""
        raise NotImplementedError

    def respond(self, labels: Tensor, key: Key, views: int) -> Tensor:
        """The labels themselves [1, 1, C, X, Y, Z]."""
        return labels.clone()[None, None]

    def decode(self, returned: Tensor, key: Key) -> Tensor:
        """The returned map itself."""
        return returned[0, 0]
