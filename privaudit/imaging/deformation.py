"""Reversible smooth deformations: stationary velocity fields, scaling and squaring (Arsigny et al., 2006).

Displacements are in voxels; a warped image is ``image(x + u(x))``, and the inverse comes from the negated velocity.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.imaging.patches import Shape

SQUARINGS = 7
"""Times that the velocity is halved, and then the deformation put upon itself."""


def draw_velocity(rng: random.Random, shape: Shape, strength: float, spacing: int) -> Tensor:
    """A random smooth velocity field [3, X, Y, Z] in voxels, zero along the volume's faces.

    Args:
        rng: of the key.
        shape: volume in voxels.
        strength: standard deviation of each component at the control points.
        spacing: voxels between control points; cubic splines lie between them.
    """
    from scipy.ndimage import zoom

    counts = [max(4, 1 + round(side / spacing)) for side in shape]
    points: NDArray[np.float64] = np.zeros((3, *counts))
    inner = (slice(None), *(slice(1, -1),) * 3)
    points[inner] = np.reshape([rng.gauss(0, strength) for _ in range(points[inner].size)], points[inner].shape)
    factors = [side / count for side, count in zip(shape, counts, strict=True)]
    fields = [zoom(component, factors, order=3, mode="nearest", grid_mode=False) for component in points]
    return torch.from_numpy(np.stack(fields)).float()


def integrate(velocity: Tensor) -> Tensor:
    """The displacement [3, X, Y, Z] after unit time; that of the negated velocity undoes it."""
    displacement: Tensor = velocity / 2**SQUARINGS
    for _ in range(SQUARINGS):
        displacement = displacement + warp(displacement, displacement)
    return displacement


def warp(volume: Tensor, displacement: Tensor, corner: Sequence[int] = (0, 0, 0)) -> Tensor:
    """``volume(x + u(x))`` for a volume [C, X, Y, Z], linearly interpolated; beyond the border as at the border.

    Args:
        volume: what is warped.
        displacement: [3, *patch], where ``patch`` is the whole volume or a part of it.
        corner: of that part.
    """
    device, sides = displacement.device, volume.shape[1:]
    starts = zip(corner, displacement.shape[1:], strict=True)
    axes = [torch.arange(start, start + side, dtype=displacement.dtype, device=device) for start, side in starts]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij")) + displacement
    scaled = [2 * place / (side - 1) - 1 for place, side in zip(places, sides, strict=True)]
    grid = torch.stack(scaled[::-1], dim=-1)[None]  # torch counts axes from the last
    moved: Tensor = torch.nn.functional.grid_sample(volume[None], grid, "bilinear", "border", align_corners=True)[0]
    return moved


def coarse_shape(shape: Shape) -> Shape:
    """Half the resolution, where fields live.

    >>> coarse_shape((72, 96, 81))
    (36, 48, 41)
    """
    x, y, z = ((side + 1) // 2 for side in shape)
    return x, y, z


def resampled(volume: Tensor, shape: Shape) -> Tensor:
    """A volume [X, Y, Z] or [C, X, Y, Z] on another grid of the same extent, linearly interpolated."""
    batch = volume.reshape(1, -1, *volume.shape[-3:])
    found = torch.nn.functional.interpolate(batch, size=shape, mode="trilinear", align_corners=True)[0]
    return found if volume.ndim == 4 else found[0]


def resize(displacement: Tensor, shape: Shape) -> Tensor:
    """A displacement or velocity [3, x, y, z] on a grid of another resolution [3, X, Y, Z], in that grid's voxels."""
    old = displacement.shape[1:]
    if tuple(old) == tuple(shape):
        return displacement
    scale = displacement.new_tensor([(new - 1) / (side - 1) for new, side in zip(shape, old, strict=True)])
    return resampled(displacement, shape) * scale[:, None, None, None]


def jacobian(displacement: Tensor) -> Tensor:
    """Determinant [X - 2, Y - 2, Z - 2] of the derivative of ``x + u(x)``; where it is positive nothing folds."""
    inner = (slice(None), *(slice(1, -1),) * 3)
    columns = [torch.gradient(displacement, dim=axis + 1)[0][inner] for axis in range(3)]
    matrix = torch.stack(columns, dim=-1).movedim(0, -2) + torch.eye(3)
    determinants: Tensor = torch.linalg.det(matrix)
    return determinants
