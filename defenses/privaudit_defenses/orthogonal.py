"""One random orthogonal map of cubes, the same for every scan.

Chen and Liu, "Privacy preserving data classification with rotation perturbation", IEEE ICDM 2005; attacked by Liu,
Giannella and Kargupta, PKDD 2006. The map is part of the scheme: whoever has the scheme has it.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import lru_cache
from typing import Annotated

from pydantic import Field
from torch import Tensor

from privaudit.contracts.cohort import Volume
from privaudit.contracts.defense import Key
from privaudit.contracts.options import PluginOptions
from privaudit.contracts.seeded import SeededDefense, SeedKey
from privaudit.imaging.cubes import from_blocks, random_orthogonal, to_blocks
from privaudit.imaging.patches import Shape


class OrthogonalOptions(PluginOptions):
    """Which map."""

    block: Annotated[int, Field(ge=2, le=16)] = Field(default=8, description="side of the cubes in voxels")
    seed: int = Field(default=0, description="of the map")


class OrthogonalDefense(SeededDefense):
    """Each cube, as a vector, is multiplied by one matrix. Cubes cut off at the far border are not sent."""

    name = "orthogonal"
    summary = "one random orthogonal map of all cubes, the same for every scan"
    keyed = False
    lossless = False
    Options = OrthogonalOptions
    options: OrthogonalOptions

    def draw_key(self, shape: Shape, pool: Sequence[Volume], rng: random.Random) -> Key:
        """The same for every scan."""
        return SeedKey(self.options.seed)

    def hide(self, image: Tensor, key: SeedKey) -> Tensor:
        """Map every cube."""
        side = self.options.block
        return from_blocks(to_blocks(image, side) @ matrix(side**3, key.seed), side, image.shape)


@lru_cache(maxsize=2)
def matrix(size: int, seed: int) -> Tensor:
    """The map [size, size]."""
    return random_orthogonal(size, SeedKey(seed).generator())
