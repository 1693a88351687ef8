"""Mixing weights that are told exactly, where the reference is known.

Where the target is air (0), a view is ``(1 − α)·r`` and nothing else: the ratio of view and reference is one and the
same number there, and nowhere less. Between views of one target, ``m₁ − m₂ = (1 − α)·(r₁ − r₂)``, whatever the target.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

BRIGHT: Final = 0.1
"""Intensity of the reference from which a voxel may tell the weight."""
AGREED: Final = 1e-4
"""How nearly voxels of one weight agree on it: the rounding of a mixture."""
AROUND: Final = 0.02
"""Above the weight, ratios so near tell how many would agree by chance."""
BELOW: Final = 0.01
"""Share of voxels whose ratio may lie below the weight: images are not negative."""
LEAST: Final = 0.01
"""Weight below which air would do as well: a view is 0 where both are."""


def weight_from_air(
    pairs: Sequence[tuple[Tensor, Tensor]], low: float = LEAST, high: float = 1.0
) -> tuple[float, float]:
    """The references' weight that voxels agree on, and the log-odds that it is no chance.

    Agreement is counted against a Poisson number of ratios that happen to lie as near to each other.

    Args:
        pairs: views and references [*patch] with one weight.
        low: least weight that is possible.
        high: largest weight that is possible.

    Returns:
        A weight in [low, high] and log-odds; 0 and −∞ where nothing can be told.
    """
    nothing = 0.0, float("-inf")
    bright = [(view[there], reference[there]) for view, reference in pairs if (there := reference > BRIGHT).any()]
    if not bright:
        return nothing
    every = torch.cat([view.double() / reference.double() for view, reference in bright])
    low = max(low, LEAST)
    ratios = every[(every >= low) & (every <= high + AGREED + AROUND)].sort().values
    places = torch.arange(len(ratios))
    counts = torch.searchsorted(ratios, ratios + AGREED, right=True) - places
    below = int((every < low).sum()) + places
    possible = (ratios <= high) & (below <= BELOW * len(every))
    if not bool(possible.any()):
        return nothing
    start = int(torch.where(possible, counts, 0).argmax())
    votes = int(counts[start])
    edge = torch.tensor([float(ratios[start]) + AGREED + AROUND], dtype=torch.float64)
    near = int(torch.searchsorted(ratios, edge)) - start - votes
    chance = 1 + near * AGREED / AROUND
    if votes <= chance:
        return nothing
    odds = votes * float(np.log(votes / chance)) - votes + chance - float(np.log(len(every)))
    return min(1.0, float(ratios[start : start + votes].median())), odds


def weight_from_differences(patches: Sequence[Sequence[tuple[Tensor, Tensor]]]) -> float | None:
    """The references' weight in [0, 1] from views with one target each, and one weight for all.

    Args:
        patches: for each target, its views and their references [*patch].

    Returns:
        None where no target has two views with different references.
    """
    above, below = 0.0, 0.0
    for pairs in patches:
        mixed, others = (torch.stack(part).double() for part in zip(*pairs, strict=True))
        mixed, others = mixed - mixed.mean(dim=0), others - others.mean(dim=0)
        above, below = above + float((mixed * others).sum()), below + float(others.square().sum())
    return min(1.0, max(0.0, above / below)) if below > 1e-6 else None
