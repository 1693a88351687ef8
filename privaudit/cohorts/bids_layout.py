"""Find images and their label maps in a BIDS or BIDS-derivatives folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from privaudit.cohorts.file_cohort import ScanFiles
from privaudit.contracts.cohort import ScanId
from privaudit.errors import DataError

Entities = dict[str, str]


@dataclass(frozen=True)
class Wanted:
    """Which files to take.

    Attributes:
        suffix: of the image.
        entities: value of ``desc``, ``run``, ``space`` and such that the image must have; None where it must be absent.
        dseg_desc: the label map's ``desc``; None takes the only candidate, or the one without or with the same.
        labelled: whether there are label maps; else an image stands for its own.
    """

    suffix: str
    entities: Mapping[str, str | None]
    dseg_desc: str | None = None
    labelled: bool = True


def split_name(path: Path) -> tuple[Entities, str]:
    """Return entities and suffix of a BIDS file name.

    >>> split_name(Path("sub-01_ses-2_desc-brain_T1w.nii.gz"))
    ({'sub': '01', 'ses': '2', 'desc': 'brain'}, 'T1w')
    """
    *pairs, suffix = path.name.removesuffix(".gz").removesuffix(".nii").split("_")
    return dict(pair.split("-", 1) for pair in pairs if "-" in pair), suffix


def find_scans(root: Path, wanted: Wanted) -> dict[ScanId, ScanFiles]:
    """Return the files of every scan; empty if there is none.

    Raises:
        DataError: several images or label maps fit one scan, or an image has no label map.
    """
    images: dict[ScanId, list[Path]] = {}
    for folder in sorted([*root.glob("sub-*/anat"), *root.glob("sub-*/ses-*/anat")]):
        for path in _volumes(folder, wanted.suffix):
            entities, _ = split_name(path)
            if all(_equal(entities.get(key), value) for key, value in wanted.entities.items()):
                parents = dict(part.split("-", 1) for part in path.relative_to(root).parts[:-2])
                scan = ScanId(parents["sub"], parents.get("ses", entities.get("ses", "1")))
                images.setdefault(scan, []).append(path)
    files = {}
    for scan, found in images.items():
        if len(found) > 1:
            raise DataError(
                f"one session has {len(found)} images ({', '.join(path.name for path in found)} in {found[0].parent})",
                todo=f"choose with the option {_telling(found)} ('none' for the one without), or remove the others",
            )
        files[scan] = ScanFiles(found[0], _labels_of(found[0], wanted) if wanted.labelled else found[0])
    return files


def _volumes(folder: Path, suffix: str) -> list[Path]:
    return sorted([*folder.glob(f"*_{suffix}.nii"), *folder.glob(f"*_{suffix}.nii.gz")])


def _equal(have: str | None, want: str | None) -> bool:
    """Compare entity values; BIDS lets run-1 be written run-01."""
    if have is None or want is None:
        return have == want
    return have == want or (have.isdigit() and want.isdigit() and int(have) == int(want))


def _telling(paths: list[Path]) -> str:
    """Name the options that tell files apart."""
    names = [split_name(path)[0] for path in paths]
    keys = [key for key in ("desc", "run", "space") if len({name.get(key) for name in names}) > 1]
    return " or ".join(keys or ["desc", "run", "space"])


def _labels_of(image: Path, wanted: Wanted) -> Path:
    """Return the label map beside an image: equal in every entity both have, and in space; ``desc`` is free."""
    entities, _ = split_name(image)
    candidates = []
    for path in _volumes(image.parent, "dseg"):
        theirs, _ = split_name(path)
        shared = (set(entities) & set(theirs) - {"desc"}) | {"sub", "space"}
        fits = all(_equal(theirs.get(key), entities.get(key)) for key in shared)
        if fits and (wanted.dseg_desc is None or theirs.get("desc") == wanted.dseg_desc):
            candidates.append(path)
    for desc in (None, entities.get("desc")):
        if len(candidates) > 1 and wanted.dseg_desc is None:
            preferred = [path for path in candidates if split_name(path)[0].get("desc") == desc]
            candidates = preferred or candidates
    if not candidates:
        raise DataError(
            f"{image} has no label map beside it",
            allowed="a file *_dseg.nii or *_dseg.nii.gz with the same sub, ses, run and space",
            todo="segment it (FAST, SynthSeg, FreeSurfer), choose another desc or space, remove the image, or take"
            " --label-maps none, which attacks identity and pictures alone",
        )
    if len(candidates) > 1:
        raise DataError(
            f"{image} has {len(candidates)} label maps ({', '.join(path.name for path in candidates)})",
            todo="choose with the option dseg_desc",
        )
    return candidates[0]
