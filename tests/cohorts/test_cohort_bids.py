"""``bids``: the layouts it reads, the choices it asks for, and the simulated rescans."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from privaudit.cohorts import hashes
from privaudit.cohorts.bids import BidsDataset
from privaudit.contracts.cohort import Cohort, ScanId, require_unseen
from privaudit.errors import DataError, OptionError

Folder = Callable[..., Path]
Writer = Callable[..., Path]
Brain = Callable[..., tuple[NDArray[Any], NDArray[Any]]]


def open_bids(root: Path, **options: Any) -> Cohort:
    cohort: Cohort = BidsDataset.from_values(root=str(root), **options).open(cache=root.parent / "cache")
    return cohort


def test_one_session_without_a_session_level(tmp_path: Path, write_bids: Folder) -> None:
    cohort = open_bids(write_bids(tmp_path / "data"))
    assert cohort.scans == (ScanId("01"), ScanId("02"), ScanId("03"))
    assert (cohort.shape, cohort.voxel_mm, cohort.simulated, cohort.shareable) == ((20, 24, 18), 1.0, None, False)
    assert cohort.load(ScanId("02")).image.max() == 1


def test_several_sessions(tmp_path: Path, write_bids: Folder) -> None:
    root = write_bids(tmp_path / "data", ("a", "b"), ("one", "two"))
    cohort = open_bids(root, subjects="1")
    assert cohort.scans == (ScanId("a", "one"), ScanId("a", "two"))
    with pytest.raises(OptionError, match="1 people have real ones; got rescans=2; leave the option rescans out"):
        open_bids(root, subjects="1", rescans="2")


def test_the_root_may_come_from_the_environment(
    tmp_path: Path, write_bids: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_bids(tmp_path / "data")
    dataset = BidsDataset.from_values()
    monkeypatch.setenv("PRIVAUDIT_DATA", str(tmp_path / "data"))
    assert len(dataset.open(cache=tmp_path)) == 3
    monkeypatch.setenv("PRIVAUDIT_DATA", str(tmp_path))
    (tmp_path / "data").rename(tmp_path / "bids")
    assert len(dataset.open(cache=tmp_path)) == 3
    monkeypatch.delenv("PRIVAUDIT_DATA")
    with pytest.raises(DataError, match="give --root, or set PRIVAUDIT_DATA; .*Arrange images as .*--dataset phantom"):
        dataset.open(cache=tmp_path)


def test_missing_and_empty_folders(tmp_path: Path, write_bids: Folder) -> None:
    with pytest.raises(DataError, match=r"nowhere is no folder; .*--dataset phantom"):
        open_bids(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty holds no scans .*; allowed: sub-\*/.*_T1w.*; .*--dataset phantom"):
        open_bids(tmp_path / "empty")
    with pytest.raises(DataError, match="holds no scans .* desc=brain"):
        open_bids(write_bids(tmp_path / "data"), desc="brain")


def test_ambiguous_images_name_the_option_that_tells_them_apart(tmp_path: Path, write_bids: Folder) -> None:
    root = write_bids(tmp_path / "data", ("01",), tag="_desc-brain")
    write_bids(root, ("01",), tag="_desc-full")
    with pytest.raises(DataError, match=r"has 2 images \(sub-01_desc-brain_T1w.* choose with the option desc "):
        open_bids(root)
    assert len(open_bids(root, desc="brain")) == 1
    write_bids(root, ("01",))
    assert len(open_bids(root, desc="none")) == 1
    runs = write_bids(tmp_path / "runs", ("01",), tag="_run-01")
    write_bids(runs, ("01",), tag="_run-2")
    with pytest.raises(DataError, match="choose with the option run "):
        open_bids(runs)
    assert len(open_bids(runs, run="1")) == 1


def test_label_maps_are_found_or_asked_for(tmp_path: Path, write_bids: Folder) -> None:
    root = write_bids(tmp_path / "data", ("01",), tag="_space-MNI_desc-brain")
    anat = root / "sub-01" / "anat"
    plain = anat / "sub-01_dseg.nii.gz"
    with pytest.raises(DataError, match=r"desc-brain_T1w\.nii\.gz has no label map beside it; .*space"):
        open_bids(root)  # the map is in native space
    for name in ("desc-aseg", "desc-tissue"):
        shutil.copy(plain, anat / f"sub-01_space-MNI_{name}_dseg.nii.gz")
    with pytest.raises(DataError, match="has 2 label maps .*; choose with the option dseg_desc"):
        open_bids(root)
    assert len(open_bids(root, dseg_desc="tissue")) == 1
    shutil.copy(plain, anat / "sub-01_space-MNI_dseg.nii.gz")
    assert len(open_bids(root)) == 1


def test_labels_come_from_the_table_or_the_option(
    tmp_path: Path, write_bids: Folder, write: Writer, brain: Brain
) -> None:
    root = write_bids(tmp_path / "data", ("01",))
    image, labels = brain()
    write(root / "sub-01" / "anat" / "sub-01_dseg.nii.gz", np.array([0, 3, 1, 2], np.uint8)[labels])
    write(root / "sub-01" / "anat" / "sub-01_T1w.nii.gz", image)
    with pytest.raises(DataError, match="T1 does not brighten in that order"):
        open_bids(root).load(ScanId("01"))
    told = open_bids(root, label_map="{0: 0, 1: 2, 2: 3, 3: 1}")
    np.testing.assert_array_equal(told.load(ScanId("01")).labels, labels)
    (root / "dseg.tsv").write_text("index\tname\n0\tBackground\n1\tGray Matter\n2\tWhite Matter\n")
    with pytest.raises(DataError, match=r"unknown meaning: 3; .*name it in .*dseg\.tsv as a tissue"):
        open_bids(root).load(ScanId("01"))
    (root / "sub-01" / "anat" / "sub-01_dseg.tsv").write_text("index\tname\n1\tGM\n2\tWM\n3\tCSF\n")
    np.testing.assert_array_equal(open_bids(root).load(ScanId("01")).labels, labels)
    with pytest.raises(OptionError, match="label_map"):
        open_bids(root, label_map="{0: 0, 1: 5}")


def test_scans_on_different_grids(tmp_path: Path, write_bids: Folder, write: Writer, brain: Brain) -> None:
    root = write_bids(tmp_path / "data")
    for array, suffix in zip(brain((22, 24, 20)), ("T1w", "dseg"), strict=True):
        write(root / "sub-02" / "anat" / f"sub-02_{suffix}.nii.gz", array)
    with pytest.raises(DataError, match=r"sub-02.* and .*sub-01.* different grids; .*shape=\[20, 24, 18\]"):
        open_bids(root)
    cohort = open_bids(root, voxel_mm="1", shape="[24, 24, 24]")
    assert {cohort.load(scan).image.shape for scan in cohort.scans} == {(24, 24, 24)}


def test_the_fingerprint_is_of_content_and_reading(
    tmp_path: Path, write_bids: Folder, write: Writer, brain: Brain, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_bids(tmp_path / "data")
    (root / "dseg.tsv").write_text("index\tname\n1\tCSF\n2\tGM\n3\tWM\n")
    first = open_bids(root).fingerprint
    assert len(first) == 64
    with monkeypatch.context() as patch:
        patch.setattr(hashes, "hash_file", lambda path: pytest.fail(f"{path} is read again"))
        assert open_bids(root).fingerprint == first
    shutil.copytree(root, tmp_path / "moved")
    assert open_bids(tmp_path / "moved").fingerprint == first
    assert open_bids(root, intensity="900").fingerprint != first
    assert open_bids(root, rescans="2").fingerprint not in (first, open_bids(root, rescans="3").fingerprint)
    path = root / "sub-01" / "anat" / "sub-01_T1w.nii.gz"
    write(path, brain(seed=99)[0])
    os.utime(path, ns=(1, 1))
    assert open_bids(root).fingerprint != first
    for memory in (tmp_path / "cache" / "hashes").iterdir():
        assert "sub-01" not in memory.read_text()
        memory.write_text("damaged {")
    assert open_bids(tmp_path / "moved").fingerprint == first


def test_rescans_are_simulated_marked_and_repeatable(tmp_path: Path, write_bids: Folder) -> None:
    root = write_bids(tmp_path / "data", ("01", "02"))
    plain, cohort = open_bids(root), open_bids(root, rescans="3")
    assert cohort.simulated == "simulated rescans"
    assert [scan.session for scan in cohort.sessions_of("01")] == ["1", "1+rescan2", "1+rescan3"]
    original, second, third = (cohort.load(scan) for scan in cohort.sessions_of("01"))
    np.testing.assert_array_equal(original.image, plain.load(ScanId("01")).image)
    again = open_bids(root, rescans="2").load(ScanId("01", "1+rescan2"))
    np.testing.assert_array_equal(second.image, again.image)
    np.testing.assert_array_equal(second.labels, again.labels)
    assert (second.image != third.image).any()
    assert (second.image[second.labels == 0] == 0).mean() > 0.99  # no noise outside the stripped skull
    assert (second.labels != original.labels).mean() < 0.1
    assert 0 <= second.image.min() <= second.image.max() <= 1
    other = plain.load(ScanId("02")).image
    assert np.abs(second.image - original.image).mean() < np.abs(other - original.image).mean()
    files = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert all(path.suffix == ".json" for path in files)  # no image of anybody is written
    with pytest.raises(OptionError, match="rescans.*at least 2"):
        open_bids(root, rescans="1")


@pytest.mark.parametrize(
    ("option", "value"), [("shape", "[0, 8, 8]"), ("max_cut", "1"), ("desc", "a_b"), ("subjects", "0")]
)
def test_options_out_of_range(option: str, value: str) -> None:
    with pytest.raises(OptionError, match=f"'bids' option '{option}"):
        BidsDataset.from_values(**{option: value})


def test_asking_for_a_scan_that_is_not_there(tmp_path: Path, write_bids: Folder) -> None:
    root = write_bids(tmp_path / "data")
    for cohort in (open_bids(root), open_bids(root, rescans="2")):
        with pytest.raises(DataError, match="no such scan"):
            cohort.load(ScanId("09"))
    cohort = open_bids(root)
    (root / "sub-01" / "anat" / "sub-01_T1w.nii.gz").unlink()
    with pytest.raises(DataError, match="is missing"):
        cohort.load(ScanId("01"))


def test_people_are_recognised_however_their_scans_are_read(tmp_path: Path, write_bids: Folder) -> None:
    """Weights that have seen somebody must not be tried on them because an option of reading has changed."""
    root = write_bids(tmp_path / "data")
    plain = open_bids(root)
    marks = plain.marks_of("01")
    assert marks.isdisjoint(plain.marks_of("02"))
    for options in ({"intensity": "p99"}, {"voxel_mm": "2"}, {"brain_only": "true"}, {"rescans": "3"}):
        assert open_bids(root, **options).marks_of("01") == marks, options
    with pytest.raises(OptionError, match="trained on 1 of the 2 people"):
        require_unseen("it was", marks, open_bids(root, intensity="p99"), ["01", "02"])
    renamed = write_bids(tmp_path / "renamed", ("x", "01"), ("first", "second"))
    assert marks < open_bids(renamed).marks_of("x"), "another name, and a session more"
