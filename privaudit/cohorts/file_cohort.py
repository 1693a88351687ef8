"""Cohorts that are files: one image and one label map for each scan, opened one at a time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field as Option

from privaudit.cohorts.hashes import HashMemory
from privaudit.cohorts.intensity import IntensityRule
from privaudit.cohorts.rescans import Rescans, add_rescans
from privaudit.cohorts.volumes import Reading, read_array, read_grid, read_pair
from privaudit.contracts.cohort import BRAIN_LABELS, Cohort, ScanId, Volume, mark
from privaudit.contracts.options import PluginOptions
from privaudit.errors import DataError

READING_VERSION: Final = 1
"""Raised whenever the same files and options give other voxels."""


@dataclass(frozen=True)
class ScanFiles:
    """The two files of a scan."""

    image: Path
    labels: Path


Side = Annotated[int, Option(ge=8, le=1024)]
BoxShape = tuple[Side, Side, Side]
MaxCut = Annotated[float, Option(ge=0, lt=1, description="share of a brain that shape may cut off; more is an error")]


class FileOptions(PluginOptions):
    """What every dataset of files can be told."""

    root: Annotated[Path | None, Option(description="the folder; by default PRIVAUDIT_DATA")] = None
    subjects: Annotated[int | None, Option(ge=1, description="use only the first so many people, by name")] = None
    intensity: IntensityRule = "p99.9"
    rescans: Rescans = 0
    shareable: Annotated[bool, Option(description="you declare that voxels and ids may be shown to anybody")] = False


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
    ) -> None:
        self.name, self.label_names, self.shareable = name, label_names, shareable
        self._root, self._cache = root, cache
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


def first_people(files: Mapping[ScanId, ScanFiles], limit: int | None) -> dict[ScanId, ScanFiles]:
    """Return the scans of the first ``limit`` people, by name; all of them if None."""
    people = sorted({scan.subject for scan in files})[:limit]
    return {scan: files[scan] for scan in sorted(files) if scan.subject in set(people)}


def finish(cohort: FileCohort, rescans: int) -> Cohort:
    """Add the simulated rescans asked for."""
    return add_rescans(cohort, rescans) if rescans else cohort


def find_root(root: Path | None, dataset: str, how: str) -> Path:
    """Return the data's folder: ``root``, else ``$PRIVAUDIT_DATA/<dataset>`` or ``$PRIVAUDIT_DATA``.

    Args:
        root: the option.
        dataset: its name.
        how: how to obtain and arrange the data.

    Raises:
        DataError: there is no such folder.
    """
    todo = f"{how} Or try --dataset phantom, which needs no data"
    if root is None:
        base = os.environ.get("PRIVAUDIT_DATA")
        if not base:
            raise DataError(f"dataset '{dataset}' needs a folder: give --root, or set PRIVAUDIT_DATA", todo=todo)
        own = Path(base).expanduser() / dataset
        root = own if own.is_dir() else Path(base)
    root = root.expanduser()
    if not root.is_dir():
        raise DataError(f"{root} is no folder", todo=todo)
    return root


def nothing_found(root: Path, dataset: str, looked_for: str, how: str) -> DataError:
    """Return the error for a folder without scans."""
    return DataError(
        f"{root} holds no scans for dataset '{dataset}'",
        allowed=looked_for,
        todo=f"{how} Or try --dataset phantom, which needs no data",
    )
