"""Files of what a black box has made of a cohort: encodings, and maps that came back or were decoded."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np

from privaudit.cohorts.array_files import SUFFIXES, read_encoding
from privaudit.cohorts.bids_layout import split_name
from privaudit.contracts.cohort import Cohort, ScanId
from privaudit.errors import DataError
from privaudit.files import read_text

Kind = Literal["encoded", "returned", "decoded"]
"""What was sent, the label maps that came back, and what the client made of these."""
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
WORDS: Final[Mapping[Kind, str]] = {"encoded": "encodings", "returned": "returned maps", "decoded": "decoded maps"}
TABLES: Final = ("encodings.tsv", "encodings.csv")
NAMED: Final = 4
"""Files or scans that a message names."""
Found = dict[tuple[str, str | None], dict[int, Path]]
"""Files by subject, session (None where the name has none) and view."""


def find_recorded(root: Path) -> dict[Kind, Found]:
    """Every file of each kind.

    Raises:
        DataError: there are no encodings, a file is there twice, or a table is not what it should be.
    """
    tables = [root / name for name in TABLES if (root / name).is_file()]
    found: dict[Kind, Found] = {kind: {} for kind in KINDS}
    for kind, subject, session, view, file in _of_table(tables[0]) if tables else _of_names(root):
        views = found[kind].setdefault((subject, session), {})
        if view in views:
            raise DataError(f"two {WORDS[kind]} of one view: {views[view].name} and {file.name}", todo="remove one")
        views[view] = file
    if not found["encoded"]:
        raise DataError(
            f"{root} holds no encodings", allowed="sub-*/[ses-*/]**/*_desc-encoded[_view-1]_T1w.nii.gz or a table",
            todo="'privaudit defenses show recorded' says how they are named",
        )  # fmt: skip
    return found


def _of_names(root: Path) -> Iterator[tuple[Kind, str, str | None, int, Path]]:
    for kind in KINDS:
        for file in sorted(root.glob(f"sub-*/**/*_desc-{kind}*")):
            if file.name.endswith(SUFFIXES):
                entities, _ = split_name(file.with_name(file.name.removesuffix(".npy")))
                parts = file.relative_to(root).parts[:-1]
                above = dict(part.split("-", 1) for part in parts if part.startswith(("sub-", "ses-")))
                view = entities.get("view", "1")
                if not view.isdigit():
                    raise DataError(f"{file.name}: a view is a number", got=view)
                yield kind, above["sub"], above.get("ses", entities.get("ses")), int(view), file


def _of_table(table: Path) -> Iterator[tuple[Kind, str, str | None, int, Path]]:
    lines = read_text(table, DataError).splitlines()
    for number, row in enumerate(csv.DictReader(lines, delimiter="\t" if table.suffix == ".tsv" else ","), start=2):
        row = {key: value for key, value in row.items() if value}
        names = split_name(Path(row["original"]))[0] if "original" in row else {}
        subject = row.get("subject", names.get("sub", "")).removeprefix("sub-")
        if not subject or "encoded" not in row or not row.get("view", "1").isdigit():
            wanted = "encoded, subject (or original), and view a number if there is one"
            raise DataError(f"{table.name}, line {number} lacks something", allowed=wanted)
        session = row.get("session", names.get("ses", "")).removeprefix("ses-") or None
        for kind in KINDS:
            if kind in row:
                file = table.parent / row[kind]
                if not file.is_file():
                    raise DataError(f"{table.name}, line {number}: no file {row[kind]}")
                yield kind, subject, session, int(row.get("view", "1")), file


def matched(root: Path, found: Found, cohort: Cohort, kind: Kind) -> dict[ScanId, list[Path]]:
    """Files of every scan, in the order of views; nothing where there are no maps of a kind.

    Raises:
        DataError: scans without files, files without scans, or other numbers of views.
    """
    if not found and kind != "encoded":
        return {}
    files: dict[ScanId, list[Path]] = {}
    strays = []
    for (subject, session), views in found.items():
        scans = [scan for scan in cohort.sessions_of(subject) if session in (None, scan.session)]
        if len(scans) == 1:
            files[scans[0]] = [views[view] for view in sorted(views)]
        else:
            strays += list(views.values())
    bare = [f"sub-{scan.subject} ses-{scan.session}" for scan in cohort.scans if scan not in files]
    if strays or bare:
        what = [f"{WORDS[kind]} of no scan: {_some([_place(file, root) for file in strays])}"] if strays else []
        what += [f"scans without {WORDS[kind]}: {_some(bare)}"] if bare else []
        raise DataError(
            f"{root.name}: {'; '.join(what)}", todo="rename or remove files, or choose those people with the dataset's"
            " options; simulated sessions cannot be looked up",
        )  # fmt: skip
    usual = statistics.mode(len(item) for item in files.values())
    if odd := [item for item in files.values() if len(item) != usual]:
        raise DataError(
            f"{root.name}: some scans have more or fewer {WORDS[kind]} than the others", got=_some(
                [f"{len(item)} of {_place(item[-1], root)}" for item in odd]
            ), allowed=f"{usual} of each scan, one a view",
        )  # fmt: skip
    return files


def check_encodings(root: Path, files: Mapping[ScanId, Sequence[Path]]) -> None:
    """Read every encoding once: what is wrong with one shows before anything is attacked.

    Raises:
        DataError: one cannot be read, holds values that are not finite, or has another shape than the others.
    """
    shapes: dict[tuple[int, ...], list[str]] = {}
    for file in (file for views in files.values() for file in views):
        array = read_encoding(file, _place(file, root))
        if bad := int((~np.isfinite(array)).sum()):
            raise DataError(
                f"{_place(file, root)} holds values that are not finite", got=f"{bad} of {array.size}", todo="mend it"
            )
        shapes.setdefault(array.shape, []).append(_place(file, root))
    usual = max(shapes, key=lambda shape: len(shapes[shape]))
    if odd := [f"{shape}: {_some(names)}" for shape, names in shapes.items() if shape != usual]:
        raise DataError(f"{root.name}: encodings have several shapes", got="; ".join(odd), allowed=f"{usual}, as most")


def _place(file: Path, root: Path) -> str:
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
