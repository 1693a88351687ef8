"""Moving a volume back to where an atlas is: cyclic shifts, flips and turns, and rigid or affine moves."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Final

import torch
from torch import Tensor

from privaudit.imaging.deformation import resampled

COARSE: Final = 24
"""Voxels of the longest side at which a rigid move is looked for."""
STEPS: Final = 60
"""Steps of descent from each start."""
RATE: Final = 0.04
"""Step of Adam, in radians and in shares of half a side."""
FLAT: Final = 1e-6
"""Length below which what differs from the mean is rounding."""


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
    seen, target = _centred(resampled(volume.double(), shape)), _centred(resampled(atlas.double(), shape))
    with torch.enable_grad():
        move = torch.zeros(9, dtype=torch.float64, requires_grad=True)
        adam = torch.optim.Adam([move], lr=RATE)
        best, found = -1.0, move.detach().clone()
        for step in range(STEPS):
            for group in adam.param_groups:
                group["lr"] = RATE * (1 - step / STEPS)
            likeness = (_centred(_sampled(seen, move if scaled else move * _RIGID)) * target).sum().abs()
            if float(likeness.detach()) > best:
                best, found = float(likeness.detach()), move.detach().clone()
            adam.zero_grad()
            (-likeness).backward()  # type: ignore[no-untyped-call]
            adam.step()
    return _sampled(volume, (found if scaled else found * _RIGID).to(volume.dtype))


_RIGID: Final = torch.tensor([1.0] * 6 + [0.0] * 3, dtype=torch.float64)


def _sampled(volume: Tensor, move: Tensor) -> Tensor:
    """A volume sampled after three rotations (radians), a shift (shares of half a side) and log scales, [9]."""
    sides = volume.new_tensor(volume.shape) - 1  # corners are the centres of the outermost voxels
    rotation = torch.eye(3, dtype=move.dtype)
    for axis in range(3):
        one, other = [a for a in range(3) if a != axis]
        cos, sin, zero, unit = move[axis].cos(), move[axis].sin(), move.new_zeros(()), move.new_ones(())
        rows = [[unit if r == c else zero for c in range(3)] for r in range(3)]
        rows[one][one], rows[other][other], rows[one][other], rows[other][one] = cos, cos, -sin, sin
        rotation = rotation @ torch.stack([torch.stack(row) for row in rows])
    # In units of half a side, as torch counts, a rotation is one between axes of different lengths.
    linear = (rotation * move[6:].exp()) * sides[None, :] / sides[:, None]
    affine = torch.cat([linear, move[3:6, None]], dim=1).flip(0)
    affine = torch.cat([affine[:, :3].flip(1), affine[:, 3:]], dim=1)
    grid = torch.nn.functional.affine_grid(affine[None], [1, 1, *volume.shape], align_corners=True)
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
