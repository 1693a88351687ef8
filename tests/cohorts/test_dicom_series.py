"""DICOM series, and their known traps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("pydicom", reason="needs the extra 'dicom'")

from privaudit.cohorts.dicom_series import read_series
from privaudit.errors import DataError

SHAPE = (5, 4, 6)
VALUES = np.arange(120).reshape(SHAPE)
"""By left, posterior, superior: DICOM's axes."""


def write(folder: Path, change: Callable[[int, Any], object] = lambda number, item: None) -> Path:
    """A series of axial slices, 1.5 mm between columns, 2 mm between rows, 3 mm between slices, in no order."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage

    folder.mkdir()
    for number, height in enumerate(np.random.default_rng(0).permutation(SHAPE[2]).tolist()):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = MRImageStorage, ExplicitVRLittleEndian
        meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{number}")
        item = FileDataset(str(folder / f"{number}.dcm"), {}, file_meta=meta, preamble=bytes(128))
        item.SOPClassUID, item.SOPInstanceUID, item.SeriesInstanceUID = MRImageStorage, f"1.2.3.{number}", "1.2.3"
        item.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        item.ImagePositionPatient = [10.0, 20.0, 30.0 + 3 * height]
        item.PixelSpacing = [2.0, 1.5]
        item.Rows, item.Columns = SHAPE[1], SHAPE[0]
        item.SamplesPerPixel, item.PhotometricInterpretation = 1, "MONOCHROME2"
        item.BitsAllocated = item.BitsStored = 16
        item.HighBit, item.PixelRepresentation = 15, 0
        item.RescaleSlope, item.RescaleIntercept = 2, -1
        item.InstanceNumber = number + 1
        item.PixelData = VALUES[:, :, height].T.astype("<u2").tobytes()
        change(height, item)
        item.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return folder


def test_a_series_lies_where_its_header_says(tmp_path: Path) -> None:
    folder = write(tmp_path / "series")
    (folder / "notes.txt").write_text("not DICOM")
    voxels, affine = read_series(folder)
    np.testing.assert_array_equal(voxels, 2 * VALUES - 1)
    # DICOM's point (x, y, z) is this package's (-x, -y, z).
    np.testing.assert_allclose(affine @ [0, 0, 0, 1], [-10, -20, 30, 1])
    np.testing.assert_allclose(affine @ [4, 3, 5, 1], [-16, -26, 45, 1])


def test_a_label_map_lies_on_its_series(tmp_path: Path) -> None:
    hd = pytest.importorskip("highdicom", reason="needs the extra 'dicom'")
    from privaudit.segmentation.dicom_seg import write_seg

    def complete(height: int, item: Any) -> None:
        item.PatientID, item.PatientName, item.StudyInstanceUID, item.FrameOfReferenceUID = "p", "P", "1.2", "1.2.4"
        item.PatientBirthDate = item.PatientSex = item.AccessionNumber = item.StudyID = item.StudyDate = ""
        item.StudyTime = item.ReferringPhysicianName = ""
        item.Modality, item.SliceThickness = "MR", 3.0

    folder = write(tmp_path / "series", complete)
    labels = np.zeros(SHAPE, np.uint8)
    labels[1, 2, 3], labels[4, 0, 5] = 1, 3
    write_seg(tmp_path / "seg.dcm", folder, labels, {0: "background", 1: "CSF", 2: "GM", 3: "WM"})
    made = hd.seg.segread(tmp_path / "seg.dcm")
    assert [made.get_segment_description(n).segment_label for n in made.segment_numbers] == ["CSF", "WM"]
    volume = made.get_volume(combine_segments=True)
    _, affine = read_series(folder)
    for value, place in ((1, (1, 2, 3)), (2, (4, 0, 5))):
        (found,) = np.argwhere(volume.array == value)
        world = np.diag([-1, -1, 1, 1]) @ volume.affine @ [*found, 1]
        np.testing.assert_allclose(world, affine @ [*place, 1], atol=1e-4)


def test_a_sagittal_series(tmp_path: Path) -> None:
    def sagittal(height: int, item: Any) -> None:
        item.ImageOrientationPatient = [0, 1, 0, 0, 0, -1]
        item.ImagePositionPatient = [-3.0 * height, 0.0, 0.0]

    _, affine = read_series(write(tmp_path / "series", sagittal))
    np.testing.assert_allclose(affine @ [1, 0, 0, 1], affine @ [0, 0, 0, 1] + [0, -1.5, 0, 0])
    np.testing.assert_allclose(affine @ [0, 1, 0, 1], affine @ [0, 0, 0, 1] + [0, 0, -2, 0])
    np.testing.assert_allclose(abs((affine @ [0, 0, 1, 1] - affine @ [0, 0, 0, 1])[:3]), [3, 0, 0])


def shifted(by: float) -> Callable[[int, Any], object]:
    def change(height: int, item: Any) -> None:
        if height == 3:
            item.ImagePositionPatient = [10.0, 20.0, 30.0 + 3 * height + by]

    return change


def tilted(height: int, item: Any) -> None:
    item.ImagePositionPatient = [10.0, 20.0 + height, 30.0 + 3 * height]


def turned(height: int, item: Any) -> None:
    if height == 2:
        item.ImageOrientationPatient = [0, 1, 0, 1, 0, 0]


def two_series(height: int, item: Any) -> None:
    item.SeriesInstanceUID = f"1.2.{height % 2}"


def no_place(height: int, item: Any) -> None:
    del item.ImagePositionPatient


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (shifted(-3.0), "lie at the same place"),
        (shifted(1.0), "not evenly spaced; got gaps of 2.00 to 4.00 mm"),
        (tilted, "tilted gantry"),
        (turned, "differ in size, spacing or direction"),
        (two_series, "several series"),
        (no_place, "cannot be read"),
    ],
)
def test_traps_are_refused(change: Callable[[int, Any], object], said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=said) as error:
        read_series(write(tmp_path / "series", change))
    assert "\n" not in str(error.value)


def test_an_empty_folder_is_no_series(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no DICOM series"):
        read_series(tmp_path)
