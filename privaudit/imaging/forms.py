"""Normal forms: cheap pure functions that undo, without a key, what simple schemes do to an image.

A chain of them is a function of the encoding and of the attacker's atlas alone: from an encoding that tells nothing it
makes something that tells nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from privaudit.imaging.alignment import moved_back, rolled_back, turned_back
from privaudit.imaging.atlas import Atlas
from privaudit.imaging.blocks import put_back
from privaudit.imaging.grey_tables import means_by_level
from privaudit.imaging.registration import Registration
from privaudit.imaging.smoothing import box

Form = Callable[[Tensor, Atlas], Tensor]
"""Takes an encoding [X, Y, Z] and the atlas of that shape, and returns another volume of it."""

LEVELS: Final = 256
"""Grey levels that a table of grey values is recovered for."""
SEEN: Final = 2**16
"""Voxels that grey levels are found from."""
MOST_BLOCKS: Final = 2000
"""Blocks that are put back; an assignment of more takes minutes."""


def _spread(volume: Tensor, atlas: Atlas) -> Tensor:
    """Standard deviation around each voxel, from which no sign, and no added constant, can hide edges."""
    volume = volume - volume.mean()  # the difference of large squares would be rounding
    return (box(volume.square(), 1) - box(volume, 1).square()).clamp_min(0).sqrt()


def _blocks(side: int) -> Form:
    def form(volume: Tensor, atlas: Atlas) -> Tensor:
        few = math.prod(size // side for size in volume.shape) <= MOST_BLOCKS
        return put_back(volume, atlas.mean, side) if few else volume

    return form


def _table(volume: Tensor, atlas: Atlas) -> Tensor:
    """Each grey level replaced with the mean of the atlas where it occurs: undoes secret tables of grey values."""
    some = volume.flatten()[:: max(1, volume.numel() // SEEN)]
    levels = torch.from_numpy(np.unique(some.numpy()))
    if len(levels) > LEVELS:
        levels = torch.unique(torch.quantile(some, torch.linspace(0, 1, LEVELS)[1:]))
    means = means_by_level(volume.flatten().numpy(), levels.numpy(), atlas.mean.flatten().numpy())
    return torch.from_numpy(means).reshape(volume.shape)


FIRST: Final[Mapping[str, Form]] = {
    "values": lambda volume, atlas: volume,
    "sizes": lambda volume, atlas: volume.abs(),
    "distance from mid-grey": lambda volume, atlas: (volume - (volume.max() + volume.min()) / 2).abs(),
    "local spread": _spread,
}
"""What is looked at."""

PLACES: Final[Mapping[str, Form]] = {
    "": lambda volume, atlas: volume,
    "rolled back": lambda volume, atlas: rolled_back(volume, atlas.mean),
    "turned back": lambda volume, atlas: turned_back(volume, atlas.mean),
    "moved back": lambda volume, atlas: moved_back(volume, atlas.mean),
    "moved and scaled back": lambda volume, atlas: moved_back(volume, atlas.mean, scaled=True),
    **{f"blocks of {side} put back": _blocks(side) for side in (4, 8, 16)},
    "warped back": lambda volume, atlas: Registration(atlas).register(volume),
}
"""Where things belong; the last takes seconds for each scan."""

LAST: Final[Mapping[str, Form]] = {"": lambda volume, atlas: volume, "grey values by table": _table}
"""What values mean."""


@dataclass(frozen=True)
class Chain:
    """A normal form of each kind, by name."""

    first: str = "values"
    place: str = ""
    last: str = ""

    def __call__(self, volume: Tensor, atlas: Atlas) -> Tensor:
        """The normal form [X, Y, Z] of an encoding of that shape."""
        for bank, name in ((FIRST, self.first), (PLACES, self.place), (LAST, self.last)):
            volume = bank[name](volume, atlas)
        return volume

    def __str__(self) -> str:
        """In words."""
        return ", ".join(name for name in (self.first, self.place, self.last) if name)
