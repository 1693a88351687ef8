"""Little brains, and the folders that datasets expect, written in their exact layouts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

Array = NDArray[Any]
Writer = Callable[..., Path]


def little_brain(shape: tuple[int, int, int] = (20, 24, 18), seed: int = 0) -> tuple[Array, Array]:
    """An ellipsoid of white matter in grey matter in CSF: image (0 to about 1000) and labels."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.linspace(-1.25, 1.25, n) for n in shape), indexing="ij")
    distance = np.sqrt(sum((axis * rng.uniform(0.9, 1.1)) ** 2 for axis in axes))
    labels = np.select([distance < 0.6, distance < 0.85, distance < 1], [3, 2, 1], 0)
    image = np.array([0.0, 250.0, 600.0, 950.0])[labels] + (labels > 0) * rng.normal(0, 20, shape)
    return image.clip(0).astype(np.float32), labels.astype(np.uint8)


@pytest.fixture
def brain() -> Callable[..., tuple[Array, Array]]:
    return little_brain


@pytest.fixture
def write() -> Writer:
    """Write an array as NIfTI or MGZ, by the name's ending."""

    def write_file(path: Path, array: Array, affine: Array | None = None) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = nib.MGHImage if path.name.endswith(".mgz") else nib.Nifti1Image
        nib.save(kind(array, np.eye(4) if affine is None else affine), path)
        return path

    return write_file


@pytest.fixture
def write_bids(write: Writer) -> Callable[..., Path]:
    """Write a BIDS derivatives folder: ``people`` names, each with ``sessions`` (None: no session level)."""

    def write_folder(
        root: Path, people: tuple[str, ...] = ("01", "02", "03"), sessions: tuple[str, ...] | None = None, tag: str = ""
    ) -> Path:
        for number, person in enumerate(people):
            for visit, session in enumerate(sessions or ("",)):
                image, labels = little_brain(seed=10 * number + visit)
                folder = root / f"sub-{person}" / (f"ses-{session}" if session else "") / "anat"
                stem = f"sub-{person}" + (f"_ses-{session}" if session else "")
                write(folder / f"{stem}{tag}_T1w.nii.gz", image)
                write(folder / f"{stem}_dseg.nii.gz", labels)
        return root

    return write_folder
