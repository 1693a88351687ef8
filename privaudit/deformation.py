"""Reversible smooth deformations: stationary velocity fields, scaling and squaring (Arsigny et al., 2006).

Displacements are in voxels; a warped image is ``image(x + u(x))``, and the inverse comes from the negated velocity.
"""

from __future__ import annotations

import random

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.patches import Shape

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


@torch.no_grad()
def integrate(velocity: Tensor) -> Tensor:
    """The displacement [3, X, Y, Z] after unit time; that of the negated velocity undoes it."""
    displacement: Tensor = velocity / 2**SQUARINGS
    for _ in range(SQUARINGS):
        displacement = displacement + warp(displacement, displacement)
    return displacement


@torch.no_grad()
def warp(volume: Tensor, displacement: Tensor) -> Tensor:
    """``volume(x + u(x))`` for a volume [C, X, Y, Z], linearly interpolated; beyond the border as at the border."""
    sides = displacement.shape[1:]
    axes = [torch.arange(side, dtype=displacement.dtype) for side in sides]
    places = torch.stack(torch.meshgrid(*axes, indexing="ij")) + displacement
    scaled = [2 * place / (side - 1) - 1 for place, side in zip(places, sides, strict=True)]
    grid = torch.stack(scaled[::-1], dim=-1)[None]  # torch counts axes from the last
    moved: Tensor = torch.nn.functional.grid_sample(volume[None], grid, "bilinear", "border", align_corners=True)[0]
    return moved


def jacobian(displacement: Tensor) -> Tensor:
    """Determinant [X - 2, Y - 2, Z - 2] of the derivative of ``x + u(x)``; where it is positive nothing folds."""
    inner = (slice(None), *(slice(1, -1),) * 3)
    columns = [torch.gradient(displacement, dim=axis + 1)[0][inner] for axis in range(3)]
    matrix = torch.stack(columns, dim=-1).movedim(0, -2) + torch.eye(3)
    determinants: Tensor = torch.linalg.det(matrix)
    return determinants
