"""Files of encodings: NIfTI or ``.npy``, of any shape."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.contracts.arrays import LARGEST
from privaudit.errors import DataError
from privaudit.imaging.patches import Shape, one_hot

SUFFIXES: Final = (".nii.gz", ".nii", ".npy")


def read_encoding(path: Path, shown: str) -> NDArray[Any]:
    """Read what was sent.

    Volumes of three axes are turned to RAS, as the scans are; axes of length one at the end are dropped.

    Args:
        path: of the file.
        shown: what messages call it.

    Raises:
        DataError: it cannot be read, holds no numbers, or more than fit.
    """
    try:
        if path.name.endswith(".npy"):
            file: Any = np.lib.format.open_memmap(path, mode="r")
            _check_size(file.shape, shown)
            array: NDArray[Any] = np.array(file)
        else:
            image: Any = nib.load(path)
            _check_size(image.shape, shown)
            turn: Any = nib.as_closest_canonical
            image = turn(image) if image.ndim == 3 else image
            array = np.asarray(image.dataobj)
    except DataError:
        raise
    except Exception as error:  # nibabel and numpy raise whatever is at hand
        raise DataError(
            f"{shown} cannot be read: {type(error).__name__}", allowed=f"numbers in {', '.join(SUFFIXES)}"
        ) from None
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.dtype.kind not in "biufc" or not array.size:
        raise DataError(f"{shown} holds no numbers", got=f"{array.dtype}, shape {array.shape}")
    return array


def _check_size(shape: Sequence[int], shown: str) -> None:
    """Refuse a file before it is read that memory may not hold."""
    if (size := 4 * math.prod(shape)) > LARGEST:
        raise DataError(
            f"{shown} is too much for one scan", got=f"{size / 2**30:.1f} GiB as float32, shape {tuple(shape)}",
            allowed=f"{LARGEST / 2**30:.0f} GiB",
        )  # fmt: skip


def read_maps(path: Path, classes: int, shape: Shape) -> Tensor:
    """Read a label map, or the shares of labels, as float32 [C, X, Y, Z].

    NIfTI files are turned to RAS, as the scans are, and hold [X, Y, Z] or [X, Y, Z, C]; '.npy' ones [C, X, Y, Z]
    in place of the latter.

    Args:
        path: of the file.
        classes: C, background included.
        shape: X, Y, Z of the scan.

    Raises:
        DataError: it cannot be read, or is no map of such a scan.
    """
    array = read_encoding(path, path.name)
    if not path.name.endswith(".npy") and array.ndim == 4:
        turn: Any = nib.as_closest_canonical
        array = np.moveaxis(np.asarray(turn(nib.load(path)).dataobj), -1, 0)
    whole = bool(np.isfinite(array).all()) and array.dtype.kind != "c"
    if whole and array.shape == shape and bool(np.isin(array, range(classes)).all()):
        return one_hot(array.astype(np.uint8), classes)
    if whole and array.shape == (classes, *shape):
        return torch.from_numpy(array.astype(np.float32))
    raise DataError(
        f"{path.name} is no label map of its scan", got=f"{array.dtype}, shape {array.shape}",
        allowed=f"label numbers 0 to {classes - 1} of shape {shape}, or shares of shape {(classes, *shape)}",
    )  # fmt: skip


def write_image(path: Path, image: NDArray[np.float32], voxel_mm: float) -> None:
    """Write a scan [X, Y, Z] for a command to read: as NIfTI with its voxel size, or as ``.npy``."""
    if path.name.endswith(".npy"):
        np.save(path, image)
    else:
        make: Any = nib.Nifti1Image
        nib.save(make(image, np.diag([voxel_mm] * 3 + [1.0])), path)
