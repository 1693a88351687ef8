"""A folder with one DICOM series as a volume. Needs pydicom (extra 'dicom').

DICOM's world is LPS (left, posterior, superior), this package's RAS: the first two axes are turned round. Slices are
put in order by where they lie, never by their numbers or names.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from privaudit.errors import DataError, OptionError

UNEVEN: Final = 0.01
"""Share of the gap between slices by which gaps may differ."""
PARALLEL: Final = 1e-3
"""Greatest difference of direction cosines within a series."""


def read_series(folder: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Voxels [X, Y, Z] and affine (RAS, millimetres) of the one series in a folder.

    Raises:
        OptionError: pydicom is not installed.
        DataError: there is no series, or several; slices are missing, doubled, tilted or of several sizes.
    """
    _, voxels, affine = _read(folder)
    return voxels, affine


def ordered_slices(folder: Path) -> list[Any]:
    """The slices of the one series in a folder, as pydicom reads them, in the order of :func:`read_series`."""
    return _read(folder)[0]


def _read(folder: Path) -> tuple[list[Any], NDArray[np.float32], NDArray[np.float64]]:
    try:
        import pydicom
    except ModuleNotFoundError:
        raise OptionError("DICOM needs the package pydicom", todo="pip install 'privaudit[dicom]'") from None
    slices: list[Any] = []
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        try:
            slices.append(pydicom.dcmread(path))
        except pydicom.errors.InvalidDicomError:
            continue  # DICOMDIR's neighbours: notes, checksums
    slices = [item for item in slices if "PixelData" in item]
    if len(slices) < 2:
        raise DataError(f"{folder} holds no DICOM series", got=f"{len(slices)} images", todo="one file for each slice")
    series = {str(item.get("SeriesInstanceUID", "")) for item in slices}
    if len(series) > 1:
        raise DataError(f"{folder} holds several series", got=len(series), todo="give each a folder of its own")
    try:
        return _volume(slices, folder)
    except (AttributeError, KeyError, NotImplementedError, ValueError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(f"the series in {folder} cannot be read: {reason}") from None


def _volume(slices: Sequence[Any], folder: Path) -> tuple[list[Any], NDArray[np.float32], NDArray[np.float64]]:
    first = slices[0]
    cosines = np.array(first.ImageOrientationPatient, float).reshape(2, 3)
    spacing = np.array(first.PixelSpacing, float)  # between rows, between columns
    for item in slices:
        other = np.array(item.ImageOrientationPatient, float).reshape(2, 3)
        same = (item.Rows, item.Columns) == (first.Rows, first.Columns)
        if not same or np.abs(other - cosines).max() > PARALLEL or np.abs(spacing - item.PixelSpacing).max() > PARALLEL:
            raise DataError(f"slices in {folder} differ in size, spacing or direction", todo="give one stack of slices")
    normal = np.cross(*cosines)
    corners = np.array([item.ImagePositionPatient for item in slices], float)
    heights = corners @ normal
    order = np.argsort(heights, kind="stable")
    gaps = np.diff(heights[order])
    step = float(np.median(gaps))
    if step <= 0 or gaps.min() < UNEVEN * step:
        raise DataError(f"slices in {folder} lie at the same place", todo="remove the ones that are there twice")
    if np.abs(gaps - step).max() > UNEVEN * step:
        raise DataError(
            f"slices in {folder} are not evenly spaced", got=f"gaps of {gaps.min():.2f} to {gaps.max():.2f} mm",
            todo="a slice is missing, or the stack must be resampled first",
        )  # fmt: skip
    line = (corners[order[-1]] - corners[order[0]]) / (len(slices) - 1)
    if np.linalg.norm(line - normal * step) > UNEVEN * step:
        raise DataError(
            f"slices in {folder} are shifted against each other (a tilted gantry)", todo="resample them first"
        )
    ordered = [slices[index] for index in order]
    voxels = np.stack([_values(item).T for item in ordered], axis=-1)
    affine = np.eye(4)
    affine[:3, 0], affine[:3, 1] = cosines[0] * spacing[1], cosines[1] * spacing[0]
    affine[:3, 2], affine[:3, 3] = line, corners[order[0]]
    return ordered, np.ascontiguousarray(voxels, np.float32), np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def _values(item: Any) -> NDArray[np.float32]:
    """One slice's values [rows, columns], rescaled as its header says."""
    if int(item.get("SamplesPerPixel", 1)) != 1:
        raise ValueError("its pixels have colours")
    return np.asarray(item.pixel_array, np.float32) * float(item.get("RescaleSlope", 1)) + float(
        item.get("RescaleIntercept", 0)
    )
