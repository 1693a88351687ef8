"""The gate of exports: whether a network that was written elsewhere, the trained one and the server give the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

TOLERANCE: Final = 1e-5
"""Greatest difference of probabilities."""
VOLUMES, LONG = 3, 2
"""Volumes that are tried, and how many patches each is long."""
Maps = NDArray[np.float32]


@dataclass(frozen=True)
class Agreement:
    """How the exported network, the trained one and ``privaudit serve`` compare on the same volumes.

    Attributes:
        difference: the greatest of any probability, between any two of the three.
        dice: the greatest of any Dice of any volume and structure; voxels that are tied are left out.
        tied: share of voxels where two labels are equal within twice the tolerance: either may win.
    """

    difference: float
    dice: float
    tied: float = 0.0


def probe_patches(side: int) -> Tensor:
    """Patches [N, 1, side, side, side] of smooth random volumes, with values in [0, 1]."""
    noise = torch.rand((VOLUMES, 1, LONG * side, side, side), generator=torch.Generator().manual_seed(0))
    smooth = nn.functional.avg_pool3d(noise, 5, stride=1, padding=2, count_include_pad=False)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return torch.cat([*smooth.chunk(LONG, dim=2)]).contiguous()


def agreement(three: Sequence[Maps], images: NDArray[np.float32]) -> Agreement:
    """Compare maps of the same patches, each [N, C, *patch]; the first are the trained network's.

    Args:
        three: maps by each way.
        images: the patches [N, *patch], those of a volume :data:`VOLUMES` apart. Their intensities in as many bands as
            there are structures stand for true labels, with which every way has a Dice.
    """
    truth = three[0]
    if any(maps.shape != truth.shape for maps in three):
        return Agreement(float("inf"), float("inf"))
    difference = max(float(np.abs(one - other).max()) for one, other in combinations(three, 2))
    second, first = np.sort(truth, axis=1)[:, -2:].swapaxes(0, 1)
    tied = first - second <= 2 * TOLERANCE
    classes = truth.shape[1]
    bands = np.minimum((images * classes).astype(np.int64), classes - 1)
    scores = np.array([_dice(maps.argmax(axis=1), bands, ~tied, classes) for maps in three])
    return Agreement(difference, float(np.ptp(scores, axis=0).max()), float(tied.mean()))


def _dice(guess: NDArray[np.int64], truth: NDArray[np.int64], counted: NDArray[np.bool_], classes: int) -> list[float]:
    """Dice of each volume and structure; a structure that neither has counts as 1."""
    found = []
    for volume in range(VOLUMES):
        one, other, mask = (array[volume::VOLUMES] for array in (guess, truth, counted))
        for label in range(1, classes):
            a, b = (one == label) & mask, (other == label) & mask
            size = int(a.sum()) + int(b.sum())
            found.append(2 * int((a & b).sum()) / size if size else 1.0)
    return found
