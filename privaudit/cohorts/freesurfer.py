"""FreeSurfer subject folders: finding the scans, and what the labels of ``aseg.mgz`` mean.

Label ids are those of FreeSurferColorLUT.txt.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from privaudit.cohorts.file_cohort import ScanFiles
from privaudit.cohorts.label_tables import label_table
from privaudit.contracts.cohort import ScanId
from privaudit.errors import DataError, OptionError, short
from privaudit.files import expanded

FOLDER_NAME: Final = r"(?:sub-)?(?P<subject>[A-Za-z0-9]+)(?:[_-](?:ses-)?(?P<session>[A-Za-z0-9]+))?(?:\.long\.[^.]+)?"
"""SUBJECT, SUBJECT_VISIT or sub-SUBJECT_ses-VISIT, with or without the ending of a longitudinal run."""

ASEG: Final = label_table("freesurfer")
"""The tissue of each label of ``aseg.mgz``, ``aparc+aseg.mgz`` and ``wmparc.mgz``."""


def find_folders(root: Path) -> list[Path]:
    """Return the subject folders of scans: not ``fsaverage``, and not the base of a longitudinal run.

    A base is a mean over one person's visits: as a scan of its own it would be one person twice.
    """
    folders = sorted(path.parent for path in root.glob("*/mri") if path.is_dir())
    bases = {folder.name.split(".long.")[1] for folder in folders if ".long." in folder.name}
    return [
        folder
        for folder in folders
        if folder.name not in bases and not (folder / "base-tps").exists() and not folder.name.startswith("fsaverage")
    ]


def files_of(folder: Path, image: str) -> ScanFiles:
    """Return image and label map of a subject folder; both must be there."""
    files = ScanFiles(folder / "mri" / f"{image}.mgz", folder / "mri" / "aseg.mgz")
    for path in (files.image, files.labels):
        if not path.is_file():
            other = " or choose the option image=brain," if path == files.image and image == "norm" else ""
            raise DataError(f"{path} is missing", todo=f"finish recon-all,{other} or move the folder away")
    return files


def names_from_pattern(folders: list[Path], pattern: str | None) -> dict[Path, ScanId]:
    """Return person and visit by the folder's name.

    Args:
        folders: subject folders.
        pattern: regular expression with groups ``subject`` and, if you like, ``session``, that must match the whole
            name; folders it does not match are left out. None for :data:`FOLDER_NAME`, which must match all.
    """
    expression = _compile(pattern or FOLDER_NAME)
    names = {}
    for folder in folders:
        found = expression.fullmatch(folder.name)
        if found is not None and found["subject"]:
            names[folder] = ScanId(found["subject"], found.groupdict().get("session") or "1")
        elif found is not None or pattern is None:
            raise DataError(
                f"{folder}: person and visit cannot be read from the name",
                allowed="SUBJECT, SUBJECT_VISIT",
                todo="set the option pattern, as '(?P<subject>\\d+)_(?P<session>\\w+)', or the option csv",
            )
    return names


def names_from_csv(folders: list[Path], table: Path) -> dict[Path, ScanId]:
    """Return person and visit by the image id in each folder's name, from the archive's download table.

    Raises:
        DataError: the table cannot be used, or a folder's name holds no image id, or several, of the table.
    """
    try:
        with expanded(table).open(encoding="utf-8-sig", newline="") as stream:
            rows = {
                _bare(row["Image Data ID"]): (row["Subject"].strip(), row["Visit"].strip().replace(" ", "") or "1")
                for row in csv.DictReader(stream)
            }
    except (OSError, UnicodeDecodeError, KeyError, AttributeError, csv.Error) as error:
        raise DataError(
            f"{table} is no download table of the image archive",
            allowed="a CSV file with columns Image Data ID, Subject and Visit",
            todo="download it again: IDA, Data Collections, CSV",
        ) from error
    names = {}
    for folder in folders:
        ids = {token for token in re.findall(r"(?<![A-Za-z0-9])[IDS]?(\d+)", folder.name) if token in rows}
        if len(ids) != 1:
            raise DataError(
                f"{folder}: its name holds {len(ids)} image ids of {table}",
                todo="name each folder after its image id, as I123456",
            )
        names[folder] = ScanId(*rows[ids.pop()])
    return names


def gather(names: Mapping[Path, ScanId], image: str) -> dict[ScanId, ScanFiles]:
    """Return the files of each scan; visits that are numbers get leading zeros, so that 10 sorts after 2.

    Raises:
        DataError: two folders are the same visit of one person.
    """
    width = max((len(scan.session) for scan in names.values() if scan.session.isdigit()), default=1)
    folders: dict[ScanId, Path] = {}
    for folder, scan in names.items():
        padded = ScanId(scan.subject, scan.session.zfill(width) if scan.session.isdigit() else scan.session)
        if padded in folders:
            raise DataError(
                f"{folders[padded]} and {folder} are the same visit of one person",
                todo="choose with the option pattern (folders that it does not match are left out), or move one away",
            )
        folders[padded] = folder
    return {scan: files_of(folder, image) for scan, folder in folders.items()}


def _compile(pattern: str) -> re.Pattern[str]:
    try:
        expression = re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise OptionError("option 'pattern' is no regular expression", got=f"{short(pattern)} ({error})") from None
    if "subject" not in expression.groupindex:
        raise OptionError(
            "option 'pattern' names no person",
            got=pattern,
            todo="add a group, as '(?P<subject>\\d+)_(?P<session>\\w+)'",
        )
    return expression


def _bare(image_id: str) -> str:
    """``I123`` and ``123`` are one id."""
    return image_id.strip().lstrip("IDS")
