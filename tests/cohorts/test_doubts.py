"""What looks wrong with readable files is told: one person under two names, whole heads with labels of a brain."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from privaudit.cohorts import doubts
from privaudit.cohorts.bids import BidsDataset
from privaudit.contracts.cohort import Cohort, ScanId

WriteBids = Callable[..., Path]
PEOPLE = tuple(f"{number:02d}" for number in range(1, 9))


def prepared(tmp_path: Path, quiet: bool = True) -> Cohort:
    dataset = BidsDataset.from_values(root=tmp_path / "data", intensity="p99")
    cohort: Cohort = dataset.open(cache=tmp_path / "cache")
    cohort.prepare(cohort.scans, quiet=quiet)
    return cohort


def image_of(tmp_path: Path, person: str) -> Path:
    return tmp_path / "data" / f"sub-{person}" / "anat" / f"sub-{person}_T1w.nii.gz"


def labels_of(tmp_path: Path, person: str) -> Path:
    return image_of(tmp_path, person).with_name(f"sub-{person}_dseg.nii.gz")


def changed(path: Path, change: Callable[[Any], Any]) -> None:
    image: Any = nib.load(path)
    made: Any = nib.Nifti1Image
    nib.save(made(change(np.asanyarray(image.dataobj)), np.diag([6.0, 6.0, 6.0, 1.0])), path)


def with_own(image: Any, seed: int) -> Any:
    own = np.random.default_rng(seed).normal(0, 120, (10, 12, 9)).repeat(2, 0).repeat(2, 1).repeat(2, 2)
    return np.where(image > 0, image + own, 0).clip(0)


@pytest.fixture
def data(tmp_path: Path, write_bids: WriteBids) -> Path:
    """Eight people at 6 mm who differ everywhere, as people do."""
    write_bids(tmp_path / "data", PEOPLE)
    for number, person in enumerate(PEOPLE):
        changed(image_of(tmp_path, person), partial(with_own, seed=number))
        changed(labels_of(tmp_path, person), lambda labels: labels)
    return tmp_path


def test_different_people_without_skulls_are_not_doubted(data: Path) -> None:
    assert prepared(data).notes == ()


def test_one_person_under_two_names_is_told(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(3)
    first = np.asanyarray(nib.load(image_of(data, "02")).dataobj)  # type: ignore[attr-defined]
    changed(image_of(data, "07"), lambda _: (first * 1.1 + noise.normal(0, 10, first.shape) * (first > 0)).clip(0))
    (note,) = prepared(data, quiet=False).notes
    assert note.startswith("1 pairs of people look like one person under two names")
    assert "07" not in note
    assert "warning: 02 and 07 look like one person" in capsys.readouterr().err


def test_whole_heads_are_told(data: Path) -> None:
    def with_head(image: Any) -> Any:
        return np.where(image > 0, image, 500)

    for person in PEOPLE[:3]:
        changed(image_of(data, person), with_head)
    (note,) = prepared(data).notes
    assert note.startswith("3 of 8 images show a whole head")


def test_labels_of_a_part_of_the_brain_say_nothing_about_heads(data: Path) -> None:
    for person in PEOPLE:
        changed(
            labels_of(data, person),
            lambda labels: np.where(np.indices(labels.shape)[0] == labels.shape[0] // 2, labels, 0),
        )
    assert prepared(data).notes == ()


def test_it_is_found_once_and_remembered_without_names(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared(data)
    (kept,) = (data / "cache" / "doubts").iterdir()
    assert not any(f"sub-{person}" in kept.read_text() for person in PEOPLE)

    def never(*_: Any) -> doubts.Sketch:
        raise AssertionError("looked again")

    monkeypatch.setattr(doubts, "sketch", never)
    prepared(data)
    kept.write_text('{"alike": 3}')
    with pytest.raises(AssertionError, match="looked again"):
        prepared(data)


@pytest.mark.parametrize("people", [5, 20, 60])
def test_people_at_random_are_not_doubted(people: int) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        values = rng.normal(size=(people, 300)).cumsum(1).astype(np.float32)  # smooth, so correlations spread widely
        sketches = {ScanId(str(n)): doubts.Sketch(row) for n, row in enumerate(values)}
        assert doubts.judge(sketches).alike == [], seed
