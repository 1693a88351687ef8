"""``brats2021``: the training set of the Brain Tumor Segmentation challenge 2021, T1 with contrast."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, ClassVar, Final

from pydantic import Field as Option

from privaudit.cohorts.file_cohort import (
    BoxShape,
    FileCohort,
    FileOptions,
    MaxCut,
    ScanFiles,
    find_root,
    finish,
    first_people,
    nothing_found,
)
from privaudit.cohorts.store import cache_folder
from privaudit.cohorts.volumes import Reading
from privaudit.contracts.cohort import TUMOUR_LABELS, Cohort, Dataset, ScanId
from privaudit.contracts.options import PluginOptions
from privaudit.errors import DataError

LABELS: Final = {0: 0, 1: 1, 2: 2, 4: 3}
"""The challenge's 1 (NCR), 2 (ED) and 4 (ET)."""


class Brats2021Options(FileOptions):
    """Options of ``brats2021``."""

    shape: Annotated[
        BoxShape, Option(description="box of 1 mm voxels around the brain that is kept of 240x240x155")
    ] = (160, 192, 144)
    max_cut: MaxCut = 0.005


class Brats2021Dataset(Dataset):
    """Folders ``BraTS2021_00000`` with ``*_t1ce.nii.gz`` and ``*_seg.nii.gz``; one session each."""

    name = "brats2021"
    summary = "Your own BraTS 2021 training data: T1 with contrast, tumour labels."
    Options: ClassVar[type[PluginOptions]] = Brats2021Options
    help_missing = (
        "Register for BraTS 2021 at www.synapse.org (syn25829067) or take the challenge's Task 1 set from the Cancer "
        "Imaging Archive (RSNA-ASNR-MICCAI-BraTS-2021), unpack it so that "
        "BraTS2021_00000/BraTS2021_00000_t1ce.nii.gz and _seg.nii.gz lie in one folder, and pass that as --root."
    )

    def open(self, *, cache: Path | None = None, jobs: int = 1, quiet: bool = True) -> Cohort:
        """Find the scans; see :meth:`privaudit.contracts.cohort.Dataset.open`."""
        options: Brats2021Options = self.options
        root = find_root(options.root, self.name, self.help_missing)
        files = first_people(find_cases(root), options.subjects)
        if not files:
            wanted = "BraTS2021_00000/BraTS2021_00000_{t1ce,seg}.nii.gz"
            raise nothing_found(root, self.name, wanted, self.help_missing)
        reading = Reading(
            intensity=options.intensity,
            label_map=LABELS,
            label_cure="BraTS 2021 labels are 0, 1, 2 and 4: use the challenge's own file",
            voxel_mm=1.0,
            shape=options.shape,
            brain="image",
            max_cut=options.max_cut,
        )
        cohort = FileCohort(
            self.name,
            root,
            files,
            reading,
            cache_folder(cache),
            label_names=TUMOUR_LABELS,
            shareable=options.shareable,
        )
        return finish(cohort, options.rescans)


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
