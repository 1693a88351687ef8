"""Cutting volumes into patches and putting patches back."""

from __future__ import annotations

import itertools

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.errors import OptionError

Shape = tuple[int, int, int]
TISSUE = 0.1
"""Intensity from which a voxel of a mean image counts as tissue."""
EQUAL = 10_000
"""Shares that are equal in units of one over this are equal."""


def grid_positions(shape: Shape, size: Shape, stride: Shape) -> NDArray[np.int64]:
    """Corners of a regular grid of patches that covers the volume; the last one on each axis is moved in to fit.

    Args:
        shape: volume [X, Y, Z] in voxels.
        size: patch in voxels, no side longer than the volume's.
        stride: step between corners in voxels, from 1 to ``size`` (a longer one would leave gaps).

    Returns:
        int64 [N, 3], in lexicographic order.

    Raises:
        OptionError: a patch does not fit or a stride leaves gaps.

    >>> grid_positions((5, 2, 2), (2, 2, 2), (2, 2, 2)).tolist()
    [[0, 0, 0], [2, 0, 0], [3, 0, 0]]
    """
    axes = []
    for side, patch, step in zip(shape, size, stride, strict=True):
        if patch < 1 or patch > side:
            raise OptionError("the patch does not fit the volume", got=f"{size} in {shape}", todo="lower patch_size")
        if step < 1 or step > patch:
            raise OptionError("the stride must lie between 1 and the patch size", got=stride, allowed=f"1 to {size}")
        axes.append(sorted({min(start, side - patch) for start in range(0, side, step)}))
    return np.array(list(itertools.product(*axes)), dtype=np.int64)


def cut(volume: Tensor, positions: NDArray[np.int64], size: Shape) -> Tensor:
    """Cut patches [N, *size] (or [N, C, *size]) out of a volume [X, Y, Z] (or [C, X, Y, Z]).

    The result owns its memory.
    """
    out = volume.new_empty((len(positions), *volume.shape[:-3], *size))
    for target, (x, y, z) in zip(out, positions.tolist(), strict=True):
        target.copy_(volume[..., x : x + size[0], y : y + size[1], z : z + size[2]])
    return out


def stitch(patches: Tensor, positions: NDArray[np.int64], shape: Shape) -> Tensor:
    """Put patches [N, *size] (or [N, C, *size]) back into a volume; where they overlap, their mean.

    Raises:
        OptionError: the patches do not cover the volume.
    """
    size = patches.shape[-3:]
    if len(patches) == 1 and tuple(size) == tuple(shape):
        return patches[0].clone()
    total = patches.new_zeros((*patches.shape[1:-3], *shape))
    count = patches.new_zeros(shape)
    for patch, (x, y, z) in zip(patches, positions.tolist(), strict=True):
        box = (..., slice(x, x + size[0]), slice(y, y + size[1]), slice(z, z + size[2]))
        total[box] += patch
        count[box] += 1
    if not bool((count > 0).all()):
        raise OptionError("the patches do not cover the volume", got=f"{len(patches)} patches of {tuple(size)}")
    return total / count


def as_tensor(array: NDArray[np.float32]) -> Tensor:
    """Copy an array into a float32 tensor: whoever gets it may write on it, and the original stays as it was."""
    return torch.from_numpy(np.array(array, dtype=np.float32))


def one_hot(labels: NDArray[np.uint8], classes: int) -> Tensor:
    """Label map [X, Y, Z] with values 0 … classes-1 as float32 [classes, X, Y, Z]."""
    return torch.nn.functional.one_hot(torch.from_numpy(labels.astype(np.int64)), classes).movedim(-1, 0).float()


def most_likely(maps: Tensor) -> NDArray[np.int64]:
    """Label map [X, Y, Z] of the greatest of maps [C, X, Y, Z], the lowest label of equal ones.

    Equal is what differs by rounding alone: shares of several people in one voxel often are.
    """
    found: NDArray[np.int64] = maps.mul(EQUAL).round().numpy().argmax(axis=0)
    return found


def most_tissue(atlas: Tensor, positions: NDArray[np.int64], size: int, count: int) -> NDArray[np.int64]:
    """Indices [count] of the patches where an atlas [X, Y, Z] has most tissue, in order.

    Args:
        atlas: mean image, intensities in [0, 1].
        positions: int64 [N, 3], the patches' corners.
        size: side of the patches.
        count: how many are wanted, at most N.
    """
    if count == len(positions):
        return np.arange(count)
    tissue = (cut(atlas, positions, (size,) * 3) > TISSUE).flatten(1).double().mean(dim=1)
    return np.sort(np.argsort(-tissue.numpy(), kind="stable")[:count])
