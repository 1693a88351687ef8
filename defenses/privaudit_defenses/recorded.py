"""Encodings that a black box has already made of a cohort: a folder, and no encoder."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from privaudit.cohorts.array_files import SUFFIXES, read_encoding
from privaudit.cohorts.bids_layout import split_name
from privaudit.contracts.arrays import ArrayDefense, numbers, pack
from privaudit.contracts.cohort import Cohort, ScanId, mark
from privaudit.contracts.defense import Defense, Encoded, Key
from privaudit.contracts.options import PluginOptions
from privaudit.errors import DataError, OptionError, PluginError
from privaudit.files import read_text
from privaudit.imaging.patches import Shape, as_tensor
from privaudit.learning.own_people import coarse

TABLES: Final = ("encodings.tsv", "encodings.csv")
NAMED: Final = 4
"""Files or scans that a message names."""
COMPARED: Final = 48
"""Scans that are compared with each other, to tell whether encodings and originals belong together."""


class RecordedOptions(PluginOptions):
    """Where they are."""

    root: Path | None = Field(
        default=None,
        description="folder of BIDS derivatives sub-*/[ses-*/]**/*_desc-encoded[_view-1]_T1w.nii.gz (or .npy), or with"
        " a table encodings.tsv with columns encoded, subject, session, view (or original in place of subject)",
    )


class RecordedDefense(ArrayDefense):
    """What was recorded is looked up by the scan. Nothing new can be encoded.

    Attackers who learn do so on the recorded encodings of their own people; those who would encode images of their own
    choosing cannot run, and the card says so.
    """

    name = "recorded"
    summary = "encodings that a black box has already made: --recorded.root DIR"
    fresh = False
    Options = RecordedOptions
    options: RecordedOptions

    def __init__(self, options: RecordedOptions | None = None) -> None:
        super().__init__(options)
        self._files: dict[ScanId, list[Path]] = {}
        self._cohort: Cohort | None = None
        self._scans: dict[str, ScanId] = {}
        self._unseen: Iterator[ScanId] = iter(())

    def fitted(self, cohort: Cohort, victims: Sequence[str]) -> Defense:
        """The same with the files of every scan.

        Raises:
            OptionError: no folder is given.
            DataError: encodings and scans do not belong together, each to each.
        """
        root = self.options.root
        if root is None or not root.is_dir():
            raise OptionError("where are the encodings?", got=root, todo="give --recorded.root, a folder")
        made = type(self)(self.options)
        made._cohort, made._files = cohort, _matched(root, find_encodings(root), cohort)
        made._unseen = iter(cohort.scans)
        return made

    @property
    def views(self) -> int:
        """As many as there are of each scan."""
        return len(next(iter(self._files.values()))) if self._files else 1

    @property
    def params(self) -> dict[str, Any]:
        """Of the folder only its last part: the others may carry names."""
        return {**super().params, "root": None if self.options.root is None else self.options.root.name}

    @cached_property
    def digest(self) -> str:
        """Of every file's content."""
        hasher = hashlib.sha256()
        for scan in sorted(self._files):
            for file in self._files[scan]:
                hasher.update(repr(scan).encode() + hashlib.sha256(file.read_bytes()).digest())
        return hasher.hexdigest()[:12]

    def encode(self, image: Tensor, key: Key, views: int) -> Encoded:
        """Look up what was recorded.

        Raises:
            PluginError: nothing was, of this image.
        """
        shape: Shape = (image.shape[0], image.shape[1], image.shape[2])
        scan = self._scan(mark(image.numpy()))
        found = [read_encoding(file, file.name) for file in self._files[scan][:views]]
        return pack(self, torch.stack(numbers(found, "a recorded file")), shape)

    def _scan(self, wanted: str) -> ScanId:
        """Which scan an image is; scans are read until it is found."""
        assert self._cohort is not None
        while wanted not in self._scans:
            scan = next(self._unseen, None)
            if scan is None:
                raise PluginError("no encoding of this image was recorded", todo="attacks must take scans as they are")
            self._scans[mark(self._cohort.load(scan).image)] = scan
        return self._scans[wanted]

    def __deepcopy__(self, memo: object) -> RecordedDefense:
        return self  # nothing of it can be changed by who is lent it, and iterators cannot be copied

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """That nothing new can be encoded, and scans whose encodings look like somebody else's."""
        told = ["encodings were recorded, and none could be made: attackers learn from those of their own people"]
        odd = self._linked_otherwise()
        if odd:
            told.append(
                f"the encodings of {odd} scans are most like the originals of others, while most are like their own:"
                " renamed people or swapped sessions? Check the folder"
            )
        return tuple(told)

    def _linked_otherwise(self) -> int:
        """How many encodings are more like another scan's original, where most are most like their own."""
        assert self._cohort is not None
        scans = sorted(self._files)[:COMPARED]
        images = [as_tensor(self._cohort.load(scan).image) for scan in scans]
        sent = [self.encode(image, Key(), 1).views[0, 0] for image in images]
        raw, seen = (torch.stack([coarse(v)[0, 0].flatten() for v in volumes]) for volumes in (images, sent))
        raw, seen = (torch.nn.functional.normalize(part - part.mean(dim=0), dim=1) for part in (raw, seen))
        likeness = (seen @ raw.T).numpy()
        best = likeness.argmax(axis=1)
        own = best == np.arange(len(scans))
        return 0 if own.mean() <= 0.5 else int((~own).sum())


def find_encodings(root: Path) -> dict[tuple[str, str | None], dict[int, Path]]:
    """Files by subject, session (None where the name has none) and view.

    Raises:
        DataError: there are none, one is there twice, or a table is not what it should be.
    """
    tables = [root / name for name in TABLES if (root / name).is_file()]
    found: dict[tuple[str, str | None], dict[int, Path]] = {}
    rows = _of_table(tables[0]) if tables else _of_names(root)
    for subject, session, view, file in rows:
        views = found.setdefault((subject, session), {})
        if view in views:
            raise DataError(f"two encodings of one view: {views[view].name} and {file.name}", todo="remove one")
        views[view] = file
    if not found:
        raise DataError(
            f"{root} holds no encodings", allowed="sub-*/[ses-*/]**/*_desc-encoded[_view-1]_T1w.nii.gz or a table",
            todo="'privaudit defenses show recorded' says how they are named",
        )  # fmt: skip
    return found


def _of_names(root: Path) -> Iterator[tuple[str, str | None, int, Path]]:
    for file in sorted(root.glob("sub-*/**/*_desc-encoded*")):
        if file.name.endswith(SUFFIXES):
            entities, _ = split_name(file.with_name(file.name.removesuffix(".npy")))
            above = dict(p.split("-", 1) for p in file.relative_to(root).parts[:-1] if p.startswith(("sub-", "ses-")))
            view = entities.get("view", "1")
            if not view.isdigit():
                raise DataError(f"{file.name}: a view is a number", got=view)
            yield above["sub"], above.get("ses", entities.get("ses")), int(view), file


def _of_table(table: Path) -> Iterator[tuple[str, str | None, int, Path]]:
    lines = read_text(table, DataError).splitlines()
    for number, row in enumerate(csv.DictReader(lines, delimiter="\t" if table.suffix == ".tsv" else ","), start=2):
        row = {key: value for key, value in row.items() if value}
        names = split_name(Path(row["original"]))[0] if "original" in row else {}
        subject = row.get("subject", names.get("sub", "")).removeprefix("sub-")
        if not subject or "encoded" not in row or not row.get("view", "1").isdigit():
            wanted = "encoded, subject (or original), and view a number if there is one"
            raise DataError(f"{table.name}, line {number} lacks something", allowed=wanted)
        file = table.parent / row["encoded"]
        if not file.is_file():
            raise DataError(f"{table.name}, line {number}: no file {row['encoded']}")
        session = row.get("session", names.get("ses", "")).removeprefix("ses-") or None
        yield subject, session, int(row.get("view", "1")), file


def _matched(
    root: Path, found: Mapping[tuple[str, str | None], Mapping[int, Path]], cohort: Cohort
) -> dict[ScanId, list[Path]]:
    """Files of every scan, in the order of views.

    Raises:
        DataError: scans without encodings, encodings without scans, or other numbers of views.
    """
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
        what = [f"encodings of no scan: {_some([file.name for file in strays])}"] if strays else []
        what += [f"scans without encodings: {_some(bare)}"] if bare else []
        raise DataError(
            f"{root.name}: {'; '.join(what)}", todo="rename or remove files, or choose those people with the dataset's"
            " options; simulated sessions cannot be looked up",
        )  # fmt: skip
    counts = {len(item) for item in files.values()}
    if len(counts) > 1:
        raise DataError(f"{root.name}: some scans have more views than others", got=sorted(counts))
    return files


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
