"""``brats2021``: the challenge's folders, labels and box."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from privaudit.cohorts.brats2021 import Brats2021Dataset
from privaudit.contracts.cohort import TUMOUR_LABELS, Cohort, ScanId
from privaudit.errors import DataError
from privaudit.segmentation.opening import open_training
from privaudit.segmentation.options import parse_train_spec
from privaudit.segmentation.weights import load_weights

Writer = Callable[..., Path]
Brain = Callable[..., tuple[NDArray[Any], NDArray[Any]]]

NATIVE = np.array([[-1.0, 0, 0, 0], [0, -1.0, 0, 239], [0, 0, 1.0, 0], [0, 0, 0, 1]])


@pytest.fixture
def case(write: Writer, brain: Brain) -> Callable[..., Path]:
    def write_case(root: Path, number: int, ending: str = ".nii.gz") -> Path:
        name = f"BraTS2021_{number:05d}"
        image, labels = brain((40, 48, 36), seed=number)
        tumour = np.zeros_like(labels)
        tumour[15:25, 20:28, 14:22], tumour[17:23, 21:27, 15:21], tumour[18:22, 22:26, 16:20] = 2, 4, 1
        for part in ("flair", "t1", "t2", "t1ce"):
            write(root / name / f"{name}_{part}{ending}", image.astype(np.int16), NATIVE)
        write(root / name / f"{name}_seg{ending}", tumour, NATIVE)
        return root / name

    return write_case


def open_brats(root: Path, **options: Any) -> Cohort:
    values = {"shape": "[36, 40, 32]", **options}
    cohort: Cohort = Brats2021Dataset.from_values(root=str(root), **values).open(cache=root.parent / "cache")
    return cohort


def test_cases_labels_and_box(tmp_path: Path, case: Callable[..., Path]) -> None:
    case(tmp_path / "data", 2)
    case(tmp_path / "data", 0, ".nii")
    (tmp_path / "data" / "BraTS2021_notes.txt").write_text("")
    cohort = open_brats(tmp_path / "data")
    assert cohort.scans == (ScanId("BraTS2021_00000"), ScanId("BraTS2021_00002"))
    assert cohort.label_names == TUMOUR_LABELS
    volume = cohort.load(cohort.scans[1])
    assert volume.image.shape == cohort.shape == (36, 40, 32)
    assert [int((volume.labels == label).sum()) for label in (1, 2, 3)] == [64, 640 - 216, 216 - 64]  # NCR, ED, ET
    np.testing.assert_array_equal(volume.affine[:3, :3], np.eye(3))
    assert len(open_brats(tmp_path / "data", rescans="2", subjects="1")) == 2


def test_the_default_box(tmp_path: Path, case: Callable[..., Path]) -> None:
    case(tmp_path / "data" / "TrainingData", 7)
    cohort = Brats2021Dataset.from_values(root=tmp_path / "data").open(cache=tmp_path)
    assert cohort.load(cohort.scans[0]).image.shape == (160, 192, 144)


def test_brain_is_never_cut_silently(tmp_path: Path, case: Callable[..., Path]) -> None:
    case(tmp_path / "data", 1)
    cohort = open_brats(tmp_path / "data", shape="[16, 40, 32]")
    with pytest.raises(DataError, match=r"BraTS2021_00001_t1ce\.nii\.gz: the box cuts off .*set a larger shape"):
        cohort.load(cohort.scans[0])


def test_defects(tmp_path: Path, case: Callable[..., Path], write: Writer, brain: Brain) -> None:
    folder = case(tmp_path / "data", 1)
    case(tmp_path / "data" / "again", 1)
    with pytest.raises(DataError, match="are one case; remove one"):
        open_brats(tmp_path / "data")
    (tmp_path / "data" / "again").rename(tmp_path / "again")
    write(folder / "BraTS2021_00001_seg.nii.gz", brain((40, 48, 36))[1], NATIVE)  # labels 1, 2, 3
    cohort = open_brats(tmp_path / "data")
    with pytest.raises(DataError, match=r"_seg\.nii\.gz has label values of unknown meaning: 3; allowed: 0, 1, 2, 4"):
        cohort.load(cohort.scans[0])
    (folder / "BraTS2021_00001_seg.nii.gz").unlink()
    with pytest.raises(DataError, match=r"BraTS2021_00001 lacks BraTS2021_00001_seg\.nii\.gz; .*validation set"):
        open_brats(tmp_path / "data")


def test_missing_data_says_how_to_obtain_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PRIVAUDIT_DATA", str(tmp_path))
    with pytest.raises(DataError, match=r"holds no scans .*synapse\.org.*--dataset phantom"):
        Brats2021Dataset().open(cache=tmp_path)


@pytest.mark.slow
def test_the_segmentation_pipeline_takes_tumours(
    tmp_path: Path, case: Callable[..., Path], write: Writer, brain: Brain
) -> None:
    # Patches of 64 voxels, as the paper cuts them, want volumes of at least that side.
    for number in range(6):
        folder = case(tmp_path / "data", number)
        image, _ = brain((70, 72, 68), seed=number)
        tumour = np.zeros(image.shape, np.uint8)
        tumour[25:45, 30:48, 24:42], tumour[30:40, 33:43, 28:38], tumour[32:38, 35:41, 30:36] = 2, 4, 1
        write(folder / f"{folder.name}_t1ce.nii.gz", image.astype(np.int16), NATIVE)
        write(folder / f"{folder.name}_seg.nii.gz", tumour, NATIVE)
    data = {
        "dataset": {"name": "brats2021", "root": str(tmp_path / "data"), "shape": [64, 64, 64]},
        "defense": {"name": "mixup", "patch_size": 64},
        "split": {"victims": 0.2, "pool": 0.4, "population": 0.4},
        "train": {"steps": 1, "batch": 1, "validate_every": 1, "validation_batches": 1},
    }
    (training,) = open_training(parse_train_spec(data, "test"), tmp_path / "weights", device="cpu")
    scores = training.run().scores
    assert scores["dice learned"] is not None
    weights = load_weights(tmp_path / "weights")
    assert weights.config.labels == TUMOUR_LABELS
    assert weights.config.patch_size == 64
