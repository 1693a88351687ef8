"""A large cohort is never in memory whole: a scan is opened when asked for, and not kept."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from privaudit.cohorts import file_cohort
from privaudit.cohorts.file_cohort import FileCohort, ScanFiles
from privaudit.cohorts.rescans import add_rescans
from privaudit.cohorts.volumes import Reading
from privaudit.contracts.cohort import ScanId, Volume, split_subjects

SHAPE = (144, 192, 160)


def test_773_scans_are_opened_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []

    def read(image: Path, labels: Path, reading: Reading) -> Volume:
        opened.append(image)
        return Volume(np.zeros(SHAPE, np.float32), np.zeros(SHAPE, np.uint8), np.eye(4))

    monkeypatch.setattr(file_cohort, "read_pair", read)
    scans = [ScanId(f"{3000 + n // 2}", "BL" if n % 2 else "V04") for n in range(773)]
    files = {scan: ScanFiles(tmp_path / f"{scan}.mgz", tmp_path / "aseg.mgz") for scan in scans}
    reading = Reading(voxel_mm=1.0, shape=SHAPE)
    cohort = FileCohort("ppmi", tmp_path, files, reading, tmp_path)
    split = split_subjects(cohort.subjects, seed=0)
    assert (len(cohort), len(cohort.subjects), sum(split.counts().values())) == (773, 387, 387)
    assert opened == []  # opening and splitting read no voxels
    one = int(np.prod(SHAPE)) * 5  # bytes of a scan
    tracemalloc.start()
    try:
        for number, scan in enumerate(cohort.scans[:40], start=1):
            cohort.load(scan)
            assert len(opened) == number
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * one


def test_rescans_open_no_more_than_the_scan_they_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, brain: Callable[..., tuple[NDArray[Any], NDArray[Any]]]
) -> None:
    opened: list[Path] = []
    image, labels = brain()

    def read(path: Path, label_path: Path, reading: Reading) -> Volume:
        opened.append(path)
        return Volume((image / 1000).clip(0, 1), labels, np.eye(4))

    monkeypatch.setattr(file_cohort, "read_pair", read)
    files = {ScanId(str(n)): ScanFiles(tmp_path / f"{n}.nii", tmp_path / "dseg.nii") for n in range(9)}
    base = FileCohort("bids", tmp_path, files, Reading(voxel_mm=1.0, shape=image.shape), tmp_path)
    cohort = add_rescans(base, 4)
    assert (len(cohort), opened) == (36, [])
    cohort.load(cohort.sessions_of("5")[3])
    assert opened == [tmp_path / "5.nii"]
