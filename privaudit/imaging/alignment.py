"""Moving a volume back to where an atlas is: cyclic shifts, flips and turns, and rigid or affine moves."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Final

import numpy as np
import torch
from torch import Tensor

from privaudit.imaging.deformation import resampled
from privaudit.imaging.moves import FLAT, Floats, affine_of, best_move

COARSE: Final = 24
"""Voxels of the longest side at which a rigid move is looked for."""


def rolled_back(volume: Tensor, atlas: Tensor) -> Tensor:
    """A volume [X, Y, Z] after the cyclic shift that makes it most like an atlas, or most unlike (inverted contrast).

    Phase correlation's plain form: the cross-correlation, by the Fourier transform.
    """
    shift, _ = _best_shift(volume, _transform(atlas))
    return torch.roll(volume, shift, dims=(0, 1, 2))


def turned_back(volume: Tensor, atlas: Tensor) -> Tensor:
    """The flip or turn of a volume [X, Y, Z], shifted cyclically, that is most like an atlas.

    All 48 symmetries of the cube are tried, as far as they keep the shape.
    """
    transform, best, found = _transform(atlas), -1.0, volume
    for axes, flips in symmetries((*volume.shape,)):
        candidate = volume.permute(axes).flip(flips)
        shift, score = _best_shift(candidate, transform)
        if score > best:
            best, found = score, torch.roll(candidate, shift, dims=(0, 1, 2))
    return found.contiguous()


@lru_cache(maxsize=8)
def symmetries(shape: tuple[int, ...]) -> tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]:
    """Orders of axes that keep a shape, each with every set of axes that may be flipped.

    >>> len(symmetries((2, 3, 4))), len(symmetries((2, 2, 3))), len(symmetries((5, 5, 5)))
    (8, 16, 48)
    """
    orders = [
        axes
        for axes in itertools.permutations(range(3))
        if all(shape[a] == s for a, s in zip(axes, shape, strict=True))
    ]
    flips = [axes for count in range(4) for axes in itertools.combinations(range(3), count)]
    return tuple(itertools.product(orders, flips))


def moved_back(volume: Tensor, atlas: Tensor, scaled: bool = False) -> Tensor:
    """A volume [X, Y, Z] after the rigid move that makes it most like an atlas, by descent on their correlation.

    Args:
        volume: what is moved.
        atlas: of the same shape.
        scaled: whether each axis may be stretched too.
    """
    sides = [max(2, round(side * COARSE / max(volume.shape))) for side in volume.shape]
    shape = (sides[0], sides[1], sides[2])
    seen, target = (resampled(image.double(), shape).contiguous().numpy() for image in (volume, atlas))
    return _sampled(volume, best_move(seen, target, scaled))


def _sampled(volume: Tensor, move: Floats) -> Tensor:
    """A volume after a move, by linear interpolation; outside, the border goes on."""
    # In units of half a side, as torch counts, and the last axis first.
    matrix, _ = affine_of(move, volume.shape)
    half = (np.array(volume.shape) - 1) / 2
    linear = matrix[:, :3] * half / half[:, None]
    affine = np.column_stack([linear[::-1, ::-1], move[3:6][::-1]])
    theta = torch.from_numpy(affine).to(volume.dtype)
    grid = torch.nn.functional.affine_grid(theta[None], [1, 1, *volume.shape], align_corners=True)
    sampled: Tensor = torch.nn.functional.grid_sample(
        volume[None, None], grid, "bilinear", "border", align_corners=True
    )
    return sampled[0, 0]


def _centred(volume: Tensor) -> Tensor:
    """With mean 0 and length 1; zeros where it is constant."""
    centred = volume - volume.mean()
    length: Tensor = centred.norm().clamp_min(FLAT)
    unit: Tensor = centred / length
    return unit


def _transform(atlas: Tensor) -> Tensor:
    transform: Tensor = torch.fft.rfftn(_centred(atlas)).conj()
    return transform


def _best_shift(volume: Tensor, transform: Tensor) -> tuple[tuple[int, int, int], float]:
    """The cyclic shift that brings a volume to the atlas of this transform, and their correlation's size, 0 to 1."""
    centred = _centred(volume)
    likeness = torch.fft.irfftn(torch.fft.rfftn(centred) * transform, s=volume.shape).abs()
    place = int(likeness.argmax())
    y, z = volume.shape[1:]
    return (-(place // (y * z)), -(place // z % y), -(place % z)), float(likeness.flatten()[place])
