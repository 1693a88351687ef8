"""Where generated volumes are kept, and how they are read back."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Final

import numpy as np

from privaudit.contracts.cohort import Volume
from privaudit.files import atomic_path

STEPS: Final = 65535
"""Intensities are stored in this many steps of [0, 1], two bytes each."""


def cache_folder(cache: Path | None) -> Path:
    """Return ``cache``, or the user's cache folder for this package."""
    if cache is not None:
        return cache
    from platformdirs import user_cache_path

    return user_cache_path("privaudit", appauthor=False)


def save_volume(path: Path, volume: Volume) -> None:
    """Write a volume atomically; equal volumes give equal bytes."""
    image = np.rint(volume.image * STEPS).astype(np.uint16)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez(stream, image=image, labels=volume.labels, affine=volume.affine)


def read_volume(path: Path) -> Volume | None:
    """Read a volume; None if the file is missing or damaged (it carries checksums)."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as data:
            image, labels, affine = data["image"], data["labels"], data["affine"]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return None
    return Volume(image.astype(np.float32) / np.float32(STEPS), labels, affine)
