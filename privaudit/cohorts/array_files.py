"""Files of encodings: NIfTI or ``.npy``, of any shape."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from privaudit.errors import DataError

SUFFIXES: Final = (".nii.gz", ".nii", ".npy")


def read_encoding(path: Path, shown: str) -> NDArray[Any]:
    """Read what was sent.

    Volumes of three axes are turned to RAS, as the scans are; axes of length one at the end are dropped.

    Args:
        path: of the file.
        shown: what messages call it.

    Raises:
        DataError: it cannot be read, or holds no numbers.
    """
    try:
        if path.name.endswith(".npy"):
            array: NDArray[Any] = np.load(path, allow_pickle=False)
        else:
            image: Any = nib.load(path)
            turn: Any = nib.as_closest_canonical
            image = turn(image) if image.ndim == 3 else image
            array = np.asarray(image.dataobj)
    except Exception as error:  # nibabel and numpy raise whatever is at hand
        raise DataError(f"{shown} cannot be read: {type(error).__name__}", allowed=", ".join(SUFFIXES)) from None
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.dtype.kind not in "biufc" or not array.size:
        raise DataError(f"{shown} holds no numbers", got=f"{array.dtype}, shape {array.shape}")
    return array


def write_image(path: Path, image: NDArray[np.float32], voxel_mm: float) -> None:
    """Write a scan [X, Y, Z] for a command to read: as NIfTI with its voxel size, or as ``.npy``."""
    if path.name.endswith(".npy"):
        np.save(path, image)
    else:
        make: Any = nib.Nifti1Image
        nib.save(make(image, np.diag([voxel_mm] * 3 + [1.0])), path)
