"""Cohorts that are files: one image and one label map for each scan, opened one at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from privaudit.cohorts.hashes import HashMemory
from privaudit.cohorts.volumes import Reading, read_array, read_grid, read_pair
from privaudit.contracts.cohort import BRAIN_LABELS, Attribute, Cohort, ScanId, Volume, mark
from privaudit.errors import DataError

READING_VERSION: Final = 1
"""Raised whenever the same files and options give other voxels."""


@dataclass(frozen=True)
class ScanFiles:
    """The two files of a scan."""

    image: Path
    labels: Path


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
        attributes: Mapping[str, Mapping[str, Attribute]] | None = None,
    ) -> None:
        self.name, self.label_names, self.shareable = name, label_names, shareable
        self._root, self._cache, self._attributes = root, cache, attributes or {}
        self._marks: dict[str, frozenset[str]] = {}
        self._files = {scan: files[scan] for scan in sorted(files)}
        self._reading = {scan: reading if isinstance(reading, Reading) else reading[scan] for scan in self._files}
        self.shape, self.voxel_mm = self._common_grid()

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
        """Every scan, sorted."""
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
        if subject not in self._marks:  # asked for by everything that was trained
            scans = self.sessions_of(subject)
            self._marks[subject] = frozenset(mark(read_array(self._files[scan].image)[0]) for scan in scans)
        return self._marks[subject]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names and content of the files and over how they are read."""
        memory = HashMemory(self._cache, self._root)
        hashes = memory.hashes(path for files in self._files.values() for path in (files.image, files.labels))
        parts = [f"reading {READING_VERSION}"]
        parts += [f"{name} {digest}" for name, digest in sorted(hashes.items())]
        parts += [f"{scan!r} {self._reading[scan]!r}" for scan in self.scans]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()
