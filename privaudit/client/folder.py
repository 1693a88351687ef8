"""A folder of scans, one after the other: which are left, and in which order they are sent."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from privaudit.errors import DataError

SUFFIX = "_desc-privaudit_dseg.nii.gz"


@dataclass(frozen=True)
class Item:
    """One scan of a folder in the Brain Imaging Data Structure (BIDS), and where its label map goes."""

    image: Path
    output: Path


def bids_items(root: Path, out: Path) -> list[Item]:
    """T1-weighted scans of a BIDS folder, with the places of their label maps in a folder of derivatives.

    Args:
        root: folder with ``sub-…`` folders.
        out: folder of derivatives.

    Raises:
        DataError: there are none.
    """
    images = sorted(
        path for path in root.glob("sub-*/**/anat/*_T1w.nii*") if re.search(r"_T1w\.nii(\.gz)?$", path.name)
    )
    if not images:
        raise DataError(f"{root} holds no scans", allowed="BIDS: sub-*/[ses-*/]anat/*_T1w.nii.gz")
    return [
        Item(image, out / image.parent.relative_to(root) / re.sub(r"_T1w\.nii(\.gz)?$", SUFFIX, image.name))
        for image in images
    ]


def still_to_do(items: Sequence[Item], shuffle: bool) -> list[Item]:
    """Scans without a label map, in the folder's order or in one that nobody can foresee."""
    left = [item for item in items if not item.output.exists()]
    if shuffle:
        random.SystemRandom().shuffle(left)
    return left


def description(source: str) -> dict[str, object]:
    """``dataset_description.json`` of the derivatives (BIDS 1.9)."""
    return {
        "Name": "Label maps by privaudit", "BIDSVersion": "1.9.0", "DatasetType": "derivative",
        "GeneratedBy": [{"Name": "privaudit"}], "SourceDatasets": [{"URL": source}],
    }  # fmt: skip
