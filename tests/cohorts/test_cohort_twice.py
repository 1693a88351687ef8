"""One person twice: the same voxels under two names are refused, or told on every card."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import pytest

from privaudit.cohorts.bids import BidsDataset
from privaudit.cohorts.volumes import read_array
from privaudit.contracts.cohort import Cohort
from privaudit.errors import DataError

WriteBids = Callable[..., Path]
PEOPLE = ("01", "02", "03")


def cohort_of(tmp_path: Path, **options: Any) -> Cohort:
    values = {"root": tmp_path / "data", "intensity": "p99", **options}
    cohort: Cohort = BidsDataset.from_values(**values).open(cache=tmp_path / "cache")
    return cohort


def image_of(tmp_path: Path, person: str, session: str = "") -> Path:
    folder = tmp_path / "data" / f"sub-{person}" / (f"ses-{session}" if session else "") / "anat"
    return next(folder.glob("*_T1w.nii.gz"))


def packed_again(source: Path, target: Path) -> None:
    """The same voxels in other bytes: another compression, and another note in the header."""
    image: Any = nib.load(source)
    image.header["descrip"] = b"converted anew"
    nib.save(image, target)
    target.write_bytes(gzip.compress(gzip.decompress(target.read_bytes()), 1))
    assert target.read_bytes() != source.read_bytes()


@pytest.mark.parametrize("copy", [shutil.copy, packed_again])
def test_two_people_with_one_image_are_refused(tmp_path: Path, write_bids: WriteBids, copy: Any) -> None:
    write_bids(tmp_path / "data", PEOPLE)
    copy(image_of(tmp_path, "01"), image_of(tmp_path, "03"))
    cohort = cohort_of(tmp_path)
    with pytest.raises(DataError, match=r"sub-03_T1w.* the same voxels as .*sub-01_T1w.*1 as another person.*remove"):
        cohort.prepare(cohort.scans)


def test_two_sessions_with_one_image_are_refused_or_told(tmp_path: Path, write_bids: WriteBids) -> None:
    write_bids(tmp_path / "data", PEOPLE, ("a", "b"))
    shutil.copy(image_of(tmp_path, "02", "a"), image_of(tmp_path, "02", "b"))
    cohort = cohort_of(tmp_path)
    with pytest.raises(DataError, match="1 as another session"):
        cohort.prepare(cohort.scans)
    insisting = cohort_of(tmp_path, same_images="note")
    insisting.prepare(insisting.scans)
    assert insisting.notes[1:] == (
        "1 of 6 images hold the voxels of another one (1 as another session); the user accepts that, and figures about"
        " identity may come from it alone",
    )
    assert insisting.fingerprint == cohort.fingerprint


@pytest.mark.parametrize("options", [{}, {"rescans": 3}])
def test_different_images_and_simulated_rescans_pass(
    tmp_path: Path, write_bids: WriteBids, options: dict[str, Any]
) -> None:
    write_bids(tmp_path / "data", PEOPLE)
    cohort = cohort_of(tmp_path, **options)
    cohort.prepare(cohort.scans)
    assert cohort.notes == ()


def test_rescans_of_two_people_with_one_image_are_refused(tmp_path: Path, write_bids: WriteBids) -> None:
    write_bids(tmp_path / "data", PEOPLE)
    shutil.copy(image_of(tmp_path, "01"), image_of(tmp_path, "02"))
    cohort = cohort_of(tmp_path, rescans=2)
    with pytest.raises(DataError, match="the same voxels"):
        cohort.prepare(cohort.scans)


def test_images_are_read_once_and_again_when_they_change(
    tmp_path: Path, write_bids: WriteBids, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bids(tmp_path / "data", PEOPLE)
    cohort_of(tmp_path).prepare(cohort_of(tmp_path).scans)
    shutil.copy(image_of(tmp_path, "01"), image_of(tmp_path, "03"))
    read: list[str] = []

    def noted(path: Path) -> Any:
        read.append(path.name)
        return read_array(path)

    monkeypatch.setattr("privaudit.cohorts.file_cohort.read_array", noted)
    cohort = cohort_of(tmp_path)
    with pytest.raises(DataError, match="the same voxels"):
        cohort.prepare(cohort.scans)
    assert read == ["sub-03_T1w.nii.gz"]


def test_damage_shows_before_anything_is_read_in_earnest(tmp_path: Path, write_bids: WriteBids) -> None:
    write_bids(tmp_path / "data", PEOPLE)
    path = image_of(tmp_path, "02")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    cohort = cohort_of(tmp_path)
    with pytest.raises(DataError, match="sub-02_T1w.nii.gz is truncated or no readable"):
        cohort.prepare(cohort.scans)
