"""``brats2021``: the training set of the Brain Tumor Segmentation challenge 2021, T1 with contrast."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, ClassVar, Final

from pydantic import Field as Option

from privaudit.cohorts.file_cohort import ScanFiles
from privaudit.cohorts.file_dataset import BoxShape, FileDataset, FileOptions, Found
from privaudit.cohorts.volumes import Reading
from privaudit.contracts.cohort import TUMOUR_LABELS, ScanId
from privaudit.contracts.options import PluginOptions
from privaudit.errors import DataError

LABELS: Final = {0: 0, 1: 1, 2: 2, 4: 3}
"""The challenge's 1 (NCR), 2 (ED) and 4 (ET)."""


class Brats2021Options(FileOptions):
    """Options of ``brats2021``."""

    shape: Annotated[
        BoxShape, Option(description="box of 1 mm voxels around the brain that is kept of 240x240x155")
    ] = (160, 192, 144)


class Brats2021Dataset(FileDataset):
    """Folders ``BraTS2021_00000`` with ``*_t1ce.nii.gz`` and ``*_seg.nii.gz``; one session each."""

    name = "brats2021"
    summary = "Your own BraTS 2021 training data: T1 with contrast, tumour labels."
    Options: ClassVar[type[PluginOptions]] = Brats2021Options
    help_missing = (
        "Register for BraTS 2021 at www.synapse.org (syn25829067) or take the challenge's Task 1 set from the Cancer "
        "Imaging Archive (RSNA-ASNR-MICCAI-BraTS-2021), unpack it so that "
        "BraTS2021_00000/BraTS2021_00000_t1ce.nii.gz and _seg.nii.gz lie in one folder, and pass that as --root."
    )

    label_names = TUMOUR_LABELS

    def find(self, root: Path) -> Found:
        """Look for the challenge's folders."""
        options: Brats2021Options = self.options
        reading = Reading(
            intensity=options.intensity,
            label_map=LABELS,
            label_cure="BraTS 2021 labels are 0, 1, 2 and 4: use the challenge's own file",
            voxel_mm=1.0,
            shape=options.shape,
            brain="image",
            max_cut=options.max_cut,
        )
        return Found(find_cases(root), lambda _: reading, "BraTS2021_00000/BraTS2021_00000_{t1ce,seg}.nii.gz")


def find_cases(root: Path) -> dict[ScanId, ScanFiles]:
    """Return the files of each case in ``root``, or one folder below, as the archives unpack.

    Raises:
        DataError: a case lacks a file, or lies in two places.
    """
    cases: dict[ScanId, ScanFiles] = {}
    for folder in sorted([*root.glob("BraTS2021_*"), *root.glob("*/BraTS2021_*")]):
        if not (folder.is_dir() and re.fullmatch(r"BraTS2021_\d{5}", folder.name)):
            continue
        scan = ScanId(folder.name)
        if scan in cases:
            raise DataError(f"{folder} and {cases[scan].image.parent} are one case", todo="remove one of them")
        cases[scan] = ScanFiles(_part(folder, "t1ce"), _part(folder, "seg"))
    return cases


def _part(folder: Path, part: str) -> Path:
    for ending in (".nii.gz", ".nii"):
        path = folder / f"{folder.name}_{part}{ending}"
        if path.is_file():
            return path
    raise DataError(
        f"{folder} lacks {folder.name}_{part}.nii.gz",
        todo="unpack the case again; the validation set, which has no labels, cannot be used",
    )
