"""Read an image and its label map from NIfTI or MGZ files; every defect is an error that names file and cure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from privaudit.cohorts.checks import check_image, check_same_grid
from privaudit.cohorts.grids import (
    BYTES_PER_VOXEL,
    Affine,
    Scan,
    Shape,
    cube_grid,
    fit,
    ras_axes,
    resample,
    shear,
    tilt,
    to_ras,
)
from privaudit.cohorts.grids import voxel_sizes as sizes_of
from privaudit.cohorts.intensity import normalise
from privaudit.cohorts.labels import AS_IS, MAP_LABELS, map_labels
from privaudit.cohorts.streams import readable, unpacked
from privaudit.contracts.cohort import Volume
from privaudit.errors import DataError
from privaudit.memory import require_memory

MOST_SHEAR: Final = 0.5
MOST_TILT: Final = 1.0
"""Degrees that pass as right-angled, and as running along the world's axes."""


@dataclass(frozen=True)
class Reading:
    """How files become volumes. Its ``repr`` is all that decides voxels, and goes into fingerprints.

    Attributes:
        intensity: see :data:`privaudit.cohorts.intensity.IntensityRule`.
        label_map: the label for each value in the file; a value it lacks is an error.
        label_cure: what to do about a value it lacks.
        ascending: labels must be darker to brighter in the order 1, 2, 3, as CSF, GM and WM are in T1.
        brain_only: set the image to 0 where the label is 0.
        voxel_mm: resample to cubes of this side, or None to take the grid as it is.
        shape: crop or pad to this around the brain, or None.
        brain: what counts as brain for that: where the label, or where the image, is not 0.
        max_cut: share of the brain that cropping may cut off.
    """

    intensity: float | str = "p99.9"
    label_map: Mapping[int, int] = field(default_factory=lambda: dict(AS_IS))
    label_cure: str = field(default=MAP_LABELS, repr=False)
    ascending: bool = False
    brain_only: bool = False
    voxel_mm: float | None = None
    shape: Shape | None = None
    brain: Literal["labels", "image"] = "labels"
    max_cut: float = 0.005


FOREGROUND: Final = 0.1
"""Share of the bright voxels' intensity from which a voxel of an image without a label map is foreground."""


def read_pair(image_path: Path, label_path: Path, reading: Reading) -> Volume:
    """Read one scan.

    Raises:
        DataError: a file is missing, damaged, or holds what cannot be used as it is.
    """
    image, affine = read_image(image_path)
    if label_path == image_path:  # there is none
        labels = (image > FOREGROUND * np.percentile(image, 99.9)).astype(np.uint8)
    else:
        values, label_affine = read_array(label_path)
        check_same_grid(image.shape, affine, image_path, values.shape, label_affine, label_path)
        labels = map_labels(values, reading.label_map, reading.label_cure, label_path)
    if reading.brain_only:
        image = np.where(labels > 0, image, 0)
    scan = to_ras(Scan(image.astype(np.float32), labels, affine))
    if reading.voxel_mm is not None and not _is_cube_grid(scan.affine, reading.voxel_mm):
        scan = resample(scan, reading.voxel_mm)
    elif reading.voxel_mm is None:
        _check_tilt(scan.affine, image_path)
    scan = _fit(scan, reading, image_path)
    if reading.ascending:
        _check_ascending(scan, label_path)
    with np.errstate(all="ignore"):
        image = normalise(scan.image, reading.intensity)
    if not np.isfinite(image).all():
        raise DataError(
            f"{image_path} has intensities that cannot be divided", got=f"intensity {reading.intensity}",
            todo="set the option intensity to the value that shall become 1",
        )  # fmt: skip
    if not image.any():
        raise DataError(f"{image_path} has no positive intensity", todo="check the file, or the option brain_only")
    return Volume(np.ascontiguousarray(image), np.ascontiguousarray(scan.labels), _plain(scan.affine))


def read_image(path: Path) -> tuple[NDArray[Any], Affine]:
    """Read one image without a label map: voxels [X, Y, Z] and affine.

    Raises:
        DataError: the file is missing, damaged, not 3-D, constant, or holds NaN.
    """
    image, affine = read_array(path)
    check_image(image, path)
    return image, affine


def read_grid(path: Path, reading: Reading) -> tuple[Shape, float]:
    """Return shape and voxel size (mm) that a scan will have, from the header of its image alone.

    Raises:
        DataError: the header is unreadable, or the grid is none that ``reading`` can use.
    """
    if reading.shape is not None and reading.voxel_mm is not None:
        return reading.shape, reading.voxel_mm
    header = open_image(path)
    affine, shape = _affine(header, path), _shape(header.shape, path)
    if reading.voxel_mm is not None:
        return cube_grid(shape, affine, reading.voxel_mm)[0], reading.voxel_mm
    _check_tilt(affine, path)
    sizes = sizes_of(affine)
    if np.ptp(sizes) > 0.01 * sizes.min():
        raise DataError(
            f"{path} has voxels that are no cubes",
            got=" x ".join(f"{size:.3g}" for size in sizes) + " mm",
            todo="resample with the option voxel_mm, for example 1",
        )
    order, _ = ras_axes(affine)
    x, y, z = (shape[axis] for axis in order)
    return reading.shape or (x, y, z), float(sizes.mean().round(4))


def open_image(path: Path) -> Any:
    """Return nibabel's lazy image; only the header has been read."""
    import nibabel as nib

    with readable(path):
        return nib.load(path)


def read_array(path: Path) -> tuple[NDArray[Any], Affine]:
    """Return voxels ``[X, Y, Z]`` (trailing axes of length 1 dropped) and affine of a file.

    Raises:
        DataError: the file is missing or damaged (where it is compressed, its checksum says so), or not 3-D.
    """
    image = open_image(path)
    shape = _shape(image.shape, path)
    require_memory(math.prod(shape) * BYTES_PER_VOXEL, f"{path}, of {shape} voxels,", "check the size in its header")
    with readable(path), np.errstate(all="ignore"):
        image = unpacked(image)
        voxels = np.asanyarray(image.dataobj)
    if voxels.dtype.kind not in "buif":
        raise DataError(f"{path} holds no plain numbers", got=voxels.dtype, todo="convert it to one channel")
    return voxels.reshape(shape), _affine(image, path)


def _shape(shape: tuple[int, ...], path: Path) -> Shape:
    kept = list(shape)
    while len(kept) > 3 and kept[-1] == 1:
        kept.pop()
    if len(kept) != 3 or min(kept) < 2:
        raise DataError(f"{path} is not 3-D", got=f"shape {shape}", todo="give one 3-D volume per file")
    x, y, z = kept
    return x, y, z


def _affine(image: Any, path: Path) -> Affine:
    affine = np.asarray(image.affine, np.float64)
    if not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
        raise DataError(f"{path} has an unusable affine", todo="convert it again with its geometry")
    if shear(affine) > MOST_SHEAR:
        raise DataError(
            f"{path} has voxel axes that are not at right angles", todo="resample it to a grid without shear"
        )
    return affine


def _is_cube_grid(affine: Affine, voxel_mm: float) -> bool:
    return bool(np.abs(affine[:3, :3] - voxel_mm * np.eye(3)).max() < 1e-3 * voxel_mm)


def _check_tilt(affine: Affine, path: Path) -> None:
    if (angle := tilt(affine)) > MOST_TILT:
        raise DataError(
            f"{path} is oblique: its axes are turned by {angle:.1f} degrees",
            allowed=f"{MOST_TILT:g} degree",
            todo="resample with the option voxel_mm, for example 1",
        )


def _plain(affine: Affine) -> Affine:
    """The affine without the little rotation that passed."""
    plain = np.diag([*sizes_of(affine), 1.0])
    plain[:3, 3] = affine[:3, 3]
    return plain


def _fit(scan: Scan, reading: Reading, path: Path) -> Scan:
    if reading.shape is None:
        return scan
    brain = scan.labels > 0 if reading.brain == "labels" else scan.image > 0
    if not brain.any():
        raise DataError(f"{path} has no positive intensity", todo="check the file")
    fitted, cut = fit(scan, reading.shape, brain)
    if cut > reading.max_cut:
        extent = " x ".join(str(int(np.ptp(where)) + 1) for where in np.nonzero(brain))
        raise DataError(
            f"{path}: the box cuts off {cut:.2%} of a brain of {extent} voxels",
            got=f"shape {list(reading.shape)}",
            allowed=f"{reading.max_cut:.2%} (option max_cut)",
            todo="set a larger shape",
        )
    return fitted


def _check_ascending(scan: Scan, path: Path) -> None:
    means = [float(scan.image[scan.labels == label].mean()) for label in (1, 2, 3) if (scan.labels == label).any()]
    if means != sorted(means):
        raise DataError(
            f"{path}: without a dseg.tsv, 1, 2, 3 were taken as CSF, GM, WM, but T1 does not brighten in that order",
            got=", ".join(f"{mean:.4g}" for mean in means),
            todo="say what the values mean with the option label_map, as '{0: 0, 1: 2, 2: 3, 3: 1}'",
        )
