"""Checks of what an image file holds: each names the file and the cure."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from privaudit.cohorts.grids import Affine, voxel_sizes
from privaudit.errors import DataError

SAME_PLACE: Final = 0.1
"""How far corners of image and label map may lie apart, in voxels."""

LARGEST: Final = 1e30
"""Intensities whose sums still are float32."""


def check_image(image: NDArray[Any], path: Path) -> None:
    """Refuse an image [X, Y, Z] that is constant, or whose values cannot be computed with.

    Raises:
        DataError: it is, or they cannot.
    """
    if image.dtype.kind == "f" and (bad := int(np.count_nonzero(~np.isfinite(image)))):
        raise DataError(f"{path} holds {bad} NaN or infinite voxels", todo="repair it, or drop the scan")
    least, most = float(image.min()), float(image.max())
    if least == most:
        raise DataError(f"{path} is constant", got=f"{least} everywhere", todo="export it again, or drop the scan")
    if max(abs(least), abs(most)) > LARGEST or 0 < most < 1 / LARGEST:
        raise DataError(
            f"{path} holds intensities beyond what can be computed with", got=f"{least:.3g} to {most:.3g}",
            allowed=f"{1 / LARGEST:g} to {LARGEST:g}", todo="scale it, or check scl_slope in its header",
        )  # fmt: skip


def check_same_grid(
    shape: tuple[int, ...], affine: Affine, path: Path, label_shape: tuple[int, ...], label_affine: Affine, label: Path
) -> None:
    """Refuse an image and a label map that do not lie on each other.

    Raises:
        DataError: shapes differ, or corners lie apart.
    """
    cure = "resample the label map to the image (nearest neighbour)"
    if shape != label_shape:
        raise DataError(f"{label} and {path} differ in shape", got=f"{label_shape} and {shape}", todo=cure)
    corners = np.array(np.meshgrid(*[[0, n - 1] for n in shape], indexing="ij")).reshape(3, -1)
    apart = (affine - label_affine)[:3, :3] @ corners + (affine - label_affine)[:3, 3:]
    distance = float(np.linalg.norm(apart, axis=0).max())
    if distance > SAME_PLACE * voxel_sizes(affine).min():
        raise DataError(f"{label} and {path} differ in affine", got=f"corners {distance:.3g} mm apart", todo=cure)
