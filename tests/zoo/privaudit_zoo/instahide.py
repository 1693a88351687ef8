"""Broken: a mixture of four people under random signs."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from torch import Tensor

from privaudit.contracts.cohort import Volume
from privaudit.contracts.defense import Key
from privaudit.contracts.recipe import Recipe
from privaudit.errors import OptionError
from privaudit.imaging.cubes import random_signs
from privaudit.imaging.patches import Shape, as_tensor
from privaudit.imaging.shares import bounded_weights
from privaudit_zoo.base import ZooDefense, ZooKey

OTHERS: Final = 3
"""People of the pool in each mixture."""
GREATEST: Final = 0.65
"""No mixing weight is greater."""


@dataclass(frozen=True, repr=False)
class InstaHideKey(ZooKey):
    """Seed of the signs, the others' weighted sum [X, Y, Z] in [0, 1 - weight], the target's weight, whose they are."""

    others: Tensor
    weight: float
    whose: tuple[int, ...]


class InstaHideDefense(ZooDefense):
    """The image and three of the pool, scaled to [-1, 1], are mixed, and each voxel gets a fresh random sign.

    Huang et al., "InstaHide: instance-hiding schemes for private distributed learning", ICML 2020 (arXiv 2010.02772),
    with k = 4. Weights are uniform among those that add up to 1 and are at most .65; the target has the greatest, so
    that a server could segment it. Broken: Carlini et al., "Is private learning possible with instance encoding?",
    IEEE S&P 2021 (arXiv 2011.05315): the absolute value undoes the signs, and mixtures that share an image are alike.

    ``bystanders`` and ``weights`` stay undeclared: they say that what is sent is a weighted sum, and signs spoil it.
    """

    name = "zoo-instahide"
    summary = "zoo, broken: four people mixed, with a fresh random sign for each voxel"
    needs_pool = True

    def draw_key(self, shape: Shape, pool: Sequence[Volume], rng: random.Random) -> Key:
        """Draw three people of the pool, weights and signs.

        Raises:
            OptionError: the pool has fewer people.
        """
        if len(pool) < OTHERS:
            raise OptionError(f"'{self.name}' mixes {OTHERS} people of the pool in", got=len(pool), todo="larger pool")
        whose = tuple(rng.sample(range(len(pool)), OTHERS))
        weights = bounded_weights(1 + OTHERS, GREATEST, rng)
        others = sum(w * as_tensor(pool[i].image) for w, i in zip(weights[1:], whose, strict=True))
        assert isinstance(others, Tensor)
        return InstaHideKey(rng.getrandbits(256), others, weights[0], whose)

    def hide(self, image: Tensor, key: ZooKey) -> Tensor:
        """Mix and draw signs. Values lie in [-1, 1]."""
        assert isinstance(key, InstaHideKey)
        mixture = 2 * (key.weight * image + key.others) - 1
        return mixture * random_signs(image.shape, key.generator())

    def owners(self, key: Key) -> tuple[int, ...]:
        """Whose images are mixed in: indices into the pool."""
        assert isinstance(key, InstaHideKey)
        return key.whose

    def training_recipe(self, size: int) -> Recipe:
        """Raw patches: nothing is trained for the zoo."""
        return Recipe(size, alpha=None)
