"""No protection at all: the upper anchor of every card."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
from torch import Tensor

from privaudit.contracts.cohort import Volume
from privaudit.contracts.defense import Defense, Encoded, Key
from privaudit.imaging.patches import Shape


class NoDefense(Defense):
    """The image is sent as it is, whole."""

    name = "none"
    summary = "no encoding: the raw image is sent (the upper anchor)"
    keyed = False

    def draw_key(self, shape: Shape, pool: Sequence[Volume], rng: random.Random) -> Key:
        """There is no secret."""
        return Key()

    def encode(self, image: Tensor, key: Key, views: int) -> Encoded:
        """The image itself, as one view of one patch."""
        return Encoded(image.clone()[None, None], np.zeros((1, 3), dtype=np.int64))

    def respond(self, labels: Tensor, key: Key, views: int) -> Tensor:
        """The labels themselves [1, 1, C, X, Y, Z]."""
        return labels.clone()[None, None]

    def decode(self, returned: Tensor, key: Key) -> Tensor:
        """The returned map itself."""
        return returned[0, 0]
