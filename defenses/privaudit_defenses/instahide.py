"""InstaHide: an image and some of the pool, scaled to [-1, 1], are mixed, and each voxel gets a fresh random sign.

Huang, Song, Li and Arora, "InstaHide: instance-hiding schemes for private distributed learning", ICML 2020 (arXiv
2010.02772). Broken: Carlini et al., "Is private learning possible with instance encoding?", IEEE S&P 2021 (arXiv
2011.05315): the absolute value undoes the signs, and mixtures that share an image are alike.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field
from torch import Tensor

from privaudit.contracts.cohort import Volume
from privaudit.contracts.defense import Defense, Encoded, Key
from privaudit.contracts.options import PluginOptions
from privaudit.contracts.recipe import Recipe
from privaudit.contracts.seeded import SeedKey
from privaudit.errors import OptionError
from privaudit.imaging.cubes import random_signs
from privaudit.imaging.patches import Shape, as_tensor
from privaudit.imaging.shares import bounded_weights


class InstaHideOptions(PluginOptions):
    """How many are mixed."""

    others: Annotated[int, Field(ge=1, le=8)] = Field(default=3, description="people of the pool in each mixture")
    greatest: Annotated[float, Field(gt=0, le=1)] = Field(default=0.65, description="no mixing weight is greater")


@dataclass(frozen=True, repr=False)
class InstaHideKey(SeedKey):
    """Seed of the signs, the others' weighted sum [X, Y, Z] in [0, 1 - weight], the target's weight, whose they are."""

    others: Tensor
    weight: float
    whose: tuple[int, ...]


class InstaHideDefense(Defense):
    """Weights are uniform among those that add up to 1 and have no greater one; the target has the greatest.

    It was made for training, where labels are mixed too: nothing comes back that a client could unmix, and maps are not
    attacked. ``bystanders`` and ``weights`` stay undeclared: they say that what is sent is a weighted sum, and signs
    spoil it.
    """

    name = "instahide"
    summary = "several people mixed, with a fresh random sign for each voxel (InstaHide, ICML 2020)"
    needs_pool = True
    Options = InstaHideOptions
    options: InstaHideOptions

    def draw_key(self, shape: Shape, pool: Sequence[Volume], rng: random.Random) -> Key:
        """Draw people of the pool, weights and signs.

        Raises:
            OptionError: the pool has fewer people, or the weights cannot add up to 1.
        """
        count = self.options.others
        if len(pool) < count:
            raise OptionError(f"'{self.name}' mixes {count} people of the pool in", got=len(pool), todo="larger pool")
        whose = tuple(rng.sample(range(len(pool)), count))
        weights = bounded_weights(1 + count, self.options.greatest, rng)
        others = sum(w * as_tensor(pool[i].image) for w, i in zip(weights[1:], whose, strict=True))
        assert isinstance(others, Tensor)
        return InstaHideKey(rng.getrandbits(256), others, weights[0], whose)

    def encode(self, image: Tensor, key: Key, views: int) -> Encoded:
        """Mix and draw signs. Values lie in [-1, 1]."""
        assert isinstance(key, InstaHideKey)
        mixture = 2 * (key.weight * image.float() + key.others) - 1
        sent = mixture * random_signs(image.shape, key.generator())
        return Encoded(sent.contiguous()[None, None], np.zeros((1, 3), dtype=np.int64))

    def owners(self, key: Key) -> tuple[int, ...]:
        """Whose images are mixed in: indices into the pool."""
        assert isinstance(key, InstaHideKey)
        return key.whose

    def training_recipe(self, size: int) -> Recipe:
        """Raw patches: no network is trained for it here."""
        return Recipe(size, alpha=None)
