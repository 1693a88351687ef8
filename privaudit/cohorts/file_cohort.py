"""Cohorts that are files: one image and one label map for each scan, opened one at a time."""

from __future__ import annotations

import hashlib
import math
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import Field as Option

from privaudit.cohorts.doubts import find
from privaudit.cohorts.grids import BYTES_PER_VOXEL
from privaudit.cohorts.hashes import HashMemory
from privaudit.cohorts.volumes import Reading, read_array, read_grid, read_pair
from privaudit.contracts.cohort import BRAIN_LABELS, Attribute, Cohort, ScanId, Volume, mark
from privaudit.errors import DataError
from privaudit.memory import require_memory

READING_VERSION: Final = 1
"""Raised whenever the same files and options give other voxels."""

SameImages = Annotated[
    Literal["refuse", "note"],
    Option(description="two scans with the same voxels are one person twice: an error, or a note on every card"),
]


@dataclass(frozen=True)
class ScanFiles:
    """The two files of a scan."""

    image: Path
    labels: Path


def voxel_mark(path: Path) -> str:
    """What recognises an image by its voxels as they are stored.

    Raises:
        DataError: it cannot be read.
    """
    return mark(read_array(path)[0])


def _check_names(files: Mapping[ScanId, ScanFiles], root: Path) -> None:
    """Names must be text: they are hashed, sorted and compared.

    Raises:
        DataError: one is not.
    """
    for pair in files.values():
        for path in (pair.image, pair.labels):
            try:
                str(path.relative_to(root)).encode()
            except UnicodeEncodeError:
                raise DataError(
                    f"{os.fsencode(path).decode('utf-8', 'backslashreplace')} has a name that is not UTF-8",
                    todo="rename it",
                ) from None


class FileCohort(Cohort):
    """Scans read from files whenever they are asked for; none is kept."""

    def __init__(
        self,
        name: str,
        root: Path,
        files: Mapping[ScanId, ScanFiles],
        reading: Mapping[ScanId, Reading] | Reading,
        cache: Path,
        *,
        label_names: Mapping[int, str] = BRAIN_LABELS,
        shareable: bool = False,
        same_images: Literal["refuse", "note"] = "refuse",
        attributes: Mapping[str, Mapping[str, Attribute]] | None = None,
        order: Sequence[ScanId] | None = None,
        notes: tuple[str, ...] = (),
    ) -> None:
        self.name, self.label_names, self.shareable = name, label_names, shareable
        self._root, self._cache, self._attributes = root, cache, attributes or {}
        self._marks: dict[ScanId, str] = {}
        self._same_images: Literal["refuse", "note"] = same_images
        self._told, self._notes = notes, tuple[str, ...]()
        self._files = {scan: files[scan] for scan in order or sorted(files)}
        self._reading = {scan: reading if isinstance(reading, Reading) else reading[scan] for scan in self._files}
        _check_names(self._files, root)
        self.shape, self.voxel_mm = self._common_grid()
        require_memory(
            math.prod(self.shape) * BYTES_PER_VOXEL, f"a scan of {self.shape} voxels of {self.voxel_mm:g} mm",
            "set a larger voxel_mm, or a smaller shape",
        )  # fmt: skip

    def _common_grid(self) -> tuple[tuple[int, int, int], float]:
        first: tuple[Path, tuple[int, int, int], float] | None = None
        for scan, files in self._files.items():
            shape, voxel_mm = read_grid(files.image, self._reading[scan])
            if first is None:
                first = files.image, shape, voxel_mm
            if shape != first[1] or abs(voxel_mm - first[2]) > 0.01 * first[2]:
                raise DataError(
                    f"{files.image} and {first[0]} have different grids",
                    got=f"{list(shape)} of {voxel_mm:g} mm and {list(first[1])} of {first[2]:g} mm",
                    todo=f"bring all to one with the options voxel_mm={first[2]:g} and shape={list(first[1])}",
                )
        if first is None:
            raise DataError("a cohort without scans")
        return first[1:]

    @cached_property
    def scans(self) -> tuple[ScanId, ...]:
        """Every scan, in the order of people, and each person's from the earliest on."""
        return tuple(self._files)

    def load(self, scan: ScanId) -> Volume:
        """Read one scan from its files; see :func:`privaudit.cohorts.volumes.read_pair`."""
        if scan not in self._files:
            raise DataError("the cohort has no such scan", got=scan, todo="use one of its scans")
        files = self._files[scan]
        volume = read_pair(files.image, files.labels, self._reading[scan])
        if volume.image.shape != self.shape:
            raise DataError(f"{files.image} changed its shape since the cohort was opened", todo="run again")
        return volume

    def attributes(self, subject: str) -> Mapping[str, Attribute]:
        """What the dataset's table says of a person."""
        return self._attributes.get(subject, {})

    def marks_of(self, subject: str) -> frozenset[str]:
        """Hashes of the voxels as they are stored: other options of reading make nobody another person."""
        return frozenset(self._marks_of(self.sessions_of(subject)))

    def _marks_of(self, scans: Sequence[ScanId], jobs: int = 1, quiet: bool = True) -> list[str]:
        """Hash of each scan's voxels as stored, remembered in the cache folder: everything trained asks for it."""
        new = {scan: self._files[scan].image for scan in scans if scan not in self._marks}
        if new:
            memory = HashMemory(self._cache, self._root, voxel_mark, "-voxels")
            found = memory.hashes(new.values(), jobs, quiet)
            self._marks |= {scan: found[path.relative_to(self._root).as_posix()] for scan, path in new.items()}
        return [self._marks[scan] for scan in scans]

    @property
    def notes(self) -> tuple[str, ...]:
        """What the dataset says of the scans, and images that are there twice, where the user accepts them."""
        return (*self._told, *self._notes)

    def prepare(self, scans: Sequence[ScanId], jobs: int = 1, quiet: bool = True) -> None:
        """Read the image of each of these scans to its end; look for one person under two names and for whole heads.

        An image is read once, and not again before it changes.

        Raises:
            DataError: a file is damaged, or two scans hold the same image and the user has not accepted that.
        """
        self._notes = ()
        first: dict[str, ScanId] = {}
        again: dict[ScanId, ScanId] = {}
        for scan, found in zip(scans, self._marks_of(scans, jobs, quiet), strict=True):
            if first.setdefault(found, scan) != scan:
                again[scan] = first[found]
        if again:
            self._tell_same(again, len(scans))
        files = {scan: (self._files[scan].image, self._files[scan].labels, self._reading[scan]) for scan in scans}
        doubts = find(files, self.voxel_mm, self._cache, self.fingerprint, jobs, quiet)
        self._notes += doubts.notes
        named = doubts.named(sorted({scan.subject for scan in scans}))
        if named and not quiet:
            print(f"warning: {named}", file=sys.stderr)

    def _tell_same(self, again: Mapping[ScanId, ScanId], scans: int) -> None:
        whose = Counter("person" if scan.subject != other.subject else "session" for scan, other in again.items())
        told = " and ".join(f"{count} as another {what}" for what, count in sorted(whose.items()))
        if self._same_images == "refuse":
            scan, other = next(iter(again.items()))
            raise DataError(
                f"{self._files[scan].image} holds the same voxels as {self._files[other].image}",
                got=f"{len(again)} of {scans} images that hold the voxels of another one ({told})",
                allowed="one image for each person and session",
                todo="remove one of each, or accept them with the option same_images=note, which every card will tell",
            )
        self._notes = (
            f"{len(again)} of {scans} images hold the voxels of another one ({told}); the user accepts that, and"
            " figures about identity may come from it alone",
        )

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names and content of the files and over how they are read."""
        memory = HashMemory(self._cache, self._root)
        hashes = memory.hashes(path for files in self._files.values() for path in (files.image, files.labels))
        parts = [f"reading {READING_VERSION}"]
        parts += [f"{name} {digest}" for name, digest in sorted(hashes.items())]
        parts += [f"{scan!r} {self._reading[scan]!r}" for scan in self.scans]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()
