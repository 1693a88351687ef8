"""Putting scrambled blocks back: each block of a volume goes where an atlas has the block that is most like it."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from privaudit.imaging.alignment import symmetries

QUANTILES: Final = 32
"""Grey values, in order, that stand for a block: no shuffling, turning or flipping within it changes them."""
ALIKE: Final = 1.5
"""Times the variance that noise would give."""


def blocks_of(volume: Tensor, side: int) -> Tensor:
    """Blocks [B, side, side, side] of a volume [X, Y, Z] from its first corner; what is left over is left out."""
    a, b, c = (size // side for size in volume.shape)
    part = volume[: a * side, : b * side, : c * side].reshape(a, side, b, side, c, side)
    return part.permute(0, 2, 4, 1, 3, 5).reshape(-1, side, side, side)


def with_blocks(volume: Tensor, blocks: Tensor) -> Tensor:
    """A copy of a volume [X, Y, Z] with other blocks [B, side, side, side]; undoes :func:`blocks_of`."""
    side = blocks.shape[-1]
    a, b, c = (size // side for size in volume.shape)
    out = volume.clone()
    part = blocks.reshape(a, b, c, side, side, side).permute(0, 3, 1, 4, 2, 5)
    out[: a * side, : b * side, : c * side] = part.reshape(a * side, b * side, c * side)
    return out


def all_alike(blocks: Tensor) -> bool:
    """Whether means and variances of blocks [B, side, side, side] differ no more than those of noise would.

    So it is of a single block, or of none.
    """
    if len(blocks) < 2:
        return True
    values = blocks.flatten(1)
    variances, count = values.var(dim=1), values.shape[1]
    usual = float(variances.mean())
    alike = float(values.mean(dim=1).var()) * count <= ALIKE * usual
    return alike and float(variances.var()) * count <= ALIKE * 2 * usual**2


def put_back(volume: Tensor, atlas: Tensor, side: int) -> Tensor:
    """Assign the blocks of a volume [X, Y, Z] to an atlas's, turn and, where that is liker, invert each.

    Blocks are compared by their sorted grey values (optimal assignment: Jonker and Volgenant, in scipy), and then by
    voxels. As attacks on block-wise encryption for compression do (Chuman et al., 2019), with an atlas for borders.

    Args:
        volume: what is put back, of any range of values.
        atlas: of the same shape, in [0, 1].
        side: of the blocks in voxels.

    Returns:
        The volume with its blocks moved; as it is where nothing tells one block from another.
    """
    low, high = float(volume.min()), float(volume.max())
    if all_alike(blocks_of(volume, side)):
        return volume
    pieces, places = blocks_of((volume - low) / max(1e-12, high - low), side), blocks_of(atlas, side)
    mine, theirs = _sorted(pieces), _sorted(places)
    upright, inverted = torch.cdist(mine, theirs), torch.cdist(1 - mine.flip(1), theirs)
    rows, columns = linear_sum_assignment(torch.minimum(upright, inverted).square().numpy())
    order = torch.from_numpy(rows[np.argsort(columns)])
    chosen = pieces[order]
    best, turned = torch.full((len(chosen),), float("inf")), chosen.clone()
    for axes, flips in symmetries((side,) * 3):
        candidate = chosen.permute(0, *(axis + 1 for axis in axes)).flip([axis + 1 for axis in flips])
        for blocks in (candidate, 1 - candidate):
            apart = (blocks - places).square().flatten(1).sum(dim=1)
            better = apart < best
            best[better], turned[better] = apart[better], blocks[better]
    return with_blocks(volume, turned * (high - low) + low)


def _sorted(blocks: Tensor) -> Tensor:
    """Quantiles [B, Q] of each block's values, with the root of Q as unit."""
    values = blocks.flatten(1).sort(dim=1).values
    picked = torch.linspace(0, values.shape[1] - 1, min(QUANTILES, values.shape[1])).round().long()
    return values[:, picked]
