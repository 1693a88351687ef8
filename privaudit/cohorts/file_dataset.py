"""Datasets that are files: the options and the opening that every layout shares."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, ClassVar, Final

from pydantic import Field as Option

from privaudit.cohorts.file_cohort import FileCohort, SameImages, ScanFiles
from privaudit.cohorts.intensity import IntensityRule
from privaudit.cohorts.rescans import Rescans, add_rescans
from privaudit.cohorts.session_order import order_scans
from privaudit.cohorts.store import cache_folder
from privaudit.cohorts.volumes import Reading
from privaudit.contracts.cohort import BRAIN_LABELS, Attribute, Cohort, Dataset, ScanId
from privaudit.contracts.options import PluginOptions
from privaudit.errors import DataError, short
from privaudit.files import expanded, is_folder

UNLABELLED: Final = {0: "background", 1: "foreground"}
Side = Annotated[int, Option(ge=8, le=1024)]
BoxShape = tuple[Side, Side, Side]


class FileOptions(PluginOptions):
    """What every dataset of files can be told."""

    root: Annotated[Path | None, Option(description="the folder; by default PRIVAUDIT_DATA")] = None
    subjects: Annotated[int | None, Option(ge=1, description="use only the first so many people, by name")] = None
    intensity: IntensityRule = "p99.9"
    rescans: Rescans = 0
    same_images: SameImages = "refuse"
    shareable: Annotated[bool, Option(description="you declare that voxels and ids may be shown to anybody")] = False
    max_cut: Annotated[
        float, Option(ge=0, lt=1, description="share of a brain that shape may cut off; more is an error")
    ] = 0.005


@dataclass(frozen=True)
class Found:
    """What a folder holds.

    Attributes:
        files: by scan; empty if nothing is there.
        reading: how the files of a scan are read.
        looked_for: what was looked for, for the message where nothing was found.
        attributes: what is known of people beside their scans, by subject.
    """

    files: Mapping[ScanId, ScanFiles]
    reading: Callable[[ScanFiles], Reading]
    looked_for: str
    attributes: Mapping[str, Mapping[str, Attribute]] = field(default_factory=dict)


class FileDataset(Dataset):
    """Base of datasets of files: a subclass says what a folder holds, and how it is read."""

    label_names: ClassVar[Mapping[int, str]] = BRAIN_LABELS

    def find(self, root: Path) -> Found:
        """Look for scans in a folder.

        Raises:
            DataError: what is there is not in the layout asked for.
        """
        raise NotImplementedError

    def open(self, *, cache: Path | None = None, jobs: int = 1, quiet: bool = True) -> Cohort:
        """Find the scans; see :meth:`privaudit.contracts.cohort.Dataset.open`."""
        options: FileOptions = self.options
        root = find_root(options.root, self.name, self.help_missing)
        found = self.find(root)
        files = first_people(found.files, options.subjects)
        if not files:
            raise DataError(
                f"{root} holds no scans for dataset '{self.name}'",
                allowed=found.looked_for,
                todo=f"{self.help_missing} Or try --dataset phantom, which needs no data",
            )
        order, told = order_scans(root, files, options.shareable)
        labelled = any(pair.labels != pair.image for pair in files.values())
        cohort = FileCohort(
            self.name, root, files, {scan: found.reading(pair) for scan, pair in files.items()}, cache_folder(cache),
            label_names=self.label_names if labelled else UNLABELLED, shareable=options.shareable,
            same_images=options.same_images, attributes=found.attributes, order=order, notes=(told,) if told else (),
        )  # fmt: skip
        cohort.labelled = labelled
        return add_rescans(cohort, options.rescans) if options.rescans else cohort


def first_people(files: Mapping[ScanId, ScanFiles], limit: int | None) -> dict[ScanId, ScanFiles]:
    """Return the scans of the first ``limit`` people, by name; all of them if None."""
    people = sorted({scan.subject for scan in files})[:limit]
    return {scan: files[scan] for scan in sorted(files) if scan.subject in set(people)}


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
        own = expanded(Path(base)) / dataset
        root = own if own.is_dir() else Path(base)
    root = expanded(root)
    if not is_folder(root):
        raise DataError(f"{short(root)} is no folder", todo=todo)
    return root
