"""What the zoo's encoders share: keys that are seeds, whole volumes, and maps that only the key reads."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from privaudit.contracts.cohort import Volume
from privaudit.contracts.defense import Key
from privaudit.contracts.seeded import SeededDefense, SeedKey
from privaudit.imaging.patches import Shape

FIXED_SEED: Final = 20_200_813
"""The key of schemes with one key for everything; whoever holds a copy of the scheme has it, the attacker too."""


ZooKey = SeedKey


class ZooDefense(SeededDefense):
    """One view of the whole volume. ``keyed = False`` says that there is no key, or the same one for every scan."""

    def draw_key(self, shape: Shape, pool: Sequence[Volume], rng: random.Random) -> Key:
        """A fresh seed, or the fixed one."""
        return SeedKey(rng.getrandbits(256) if self.keyed else FIXED_SEED)

    def respond(self, labels: Tensor, key: Key, views: int) -> Tensor:
        """The labels [1, 1, C, X, Y, Z] with classes shifted by a one-time pad, as an encrypting server returns them.

        What is under audit here is the encoding: maps in the plain would tell the labels of every encoder.
        """
        return self._shifted(labels, key, 1)[None, None]

    def decode(self, returned: Tensor, key: Key) -> Tensor:
        """The returned map with its classes shifted back."""
        return self._shifted(returned[0, 0], key, -1)

    @staticmethod
    def _shifted(maps: Tensor, key: Key, sign: int) -> Tensor:
        assert isinstance(key, SeedKey)
        classes = len(maps)
        pad = torch.randint(classes, maps.shape[1:], generator=torch.Generator().manual_seed((key.seed >> 64) % 2**63))
        source = (torch.arange(classes)[:, None, None, None] - sign * pad) % classes
        return maps.gather(0, source)
