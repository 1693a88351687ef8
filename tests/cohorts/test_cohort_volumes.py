"""Reading one scan: what is right comes back as it is, and every defect is one line that names file and cure."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from privaudit.cohorts.bids import BidsOptions
from privaudit.cohorts.intensity import normalise
from privaudit.cohorts.labels import read_dseg_tsv
from privaudit.cohorts.volumes import Reading, read_grid, read_pair
from privaudit.errors import DataError

Writer = Callable[..., Path]
Brain = Callable[..., tuple[NDArray[Any], NDArray[Any]]]
READING = Reading(intensity=1000)


def test_a_good_pair(tmp_path: Path, write: Writer, brain: Brain) -> None:
    image, labels = brain()
    affine = np.diag([1.5, 1.5, 1.5, 1])
    volume = read_pair(
        write(tmp_path / "a_T1w.nii.gz", image, affine), write(tmp_path / "a_dseg.nii", labels, affine), READING
    )
    np.testing.assert_allclose(volume.image, (image / 1000).clip(0, 1), rtol=1e-6)
    np.testing.assert_array_equal(volume.labels, labels)
    np.testing.assert_array_equal(volume.affine, affine)
    assert (volume.image.dtype.name, volume.labels.dtype.name) == ("float32", "uint8")


def test_flipped_and_permuted_axes_come_back_as_ras(tmp_path: Path, write: Writer, brain: Brain) -> None:
    image, labels = brain()
    affine = np.array([[0, -1.0, 0, 23], [0, 0, 1.0, -4], [-1.0, 0, 0, 5], [0, 0, 0, 1]])
    pair = write(tmp_path / "a.nii", image, affine), write(tmp_path / "b.nii", labels, affine)
    volume = read_pair(*pair, READING)
    assert volume.image.shape == read_grid(pair[0], READING)[0] == (24, 18, 20)
    np.testing.assert_array_equal(volume.affine[:3, :3], np.eye(3))
    voxel = (3, 7, 11)
    x, y, z = (affine[:3, :3] @ voxel + affine[:3, 3] - volume.affine[:3, 3]).astype(int)
    assert volume.labels[x, y, z] == labels[voxel]
    assert volume.image[x, y, z] == pytest.approx(min(1.0, image[voxel] / 1000))


def test_trailing_axes_of_length_one_are_dropped(tmp_path: Path, write: Writer, brain: Brain) -> None:
    image, labels = brain()
    volume = read_pair(
        write(tmp_path / "a.nii", image[..., None]), write(tmp_path / "b.nii", labels[..., None, None]), READING
    )
    assert volume.image.shape == image.shape


def spoil(image: NDArray[Any], labels: NDArray[Any], how: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the pair with one defect."""
    image, labels = image.copy(), labels.astype(np.float32)
    if how in ("NaN", "infinite"):
        image[3, 4, 5] = np.nan if how == "NaN" else np.inf
    elif how == "constant":
        image[:] = 7
    elif how == "negative":
        image = -image - 1
    elif how == "4-D":
        image = np.stack([image, image], axis=-1)
    elif how == "2-D":
        image = image[:, :, 0]
    elif how == "fractions":
        labels[labels == 2] = 1.5
    elif how == "unknown":
        labels[labels == 2], labels[labels == 3] = 41, 7
    elif how == "empty":
        labels[:] = 0
    elif how == "shape":
        labels = labels[:, :, 1:]
    return image, labels


@pytest.mark.parametrize(
    ("how", "file", "words"),
    [
        ("NaN", "a_T1w.nii.gz", ["1 NaN or infinite", "repair"]),
        ("infinite", "a_T1w.nii.gz", ["1 NaN or infinite", "repair"]),
        ("constant", "a_T1w.nii.gz", ["constant", "7.0 everywhere", "export it again"]),
        ("negative", "a_T1w.nii.gz", ["no positive intensity"]),
        ("4-D", "a_T1w.nii.gz", ["not 3-D", "(20, 24, 18, 2)", "one 3-D volume"]),
        ("2-D", "a_T1w.nii.gz", ["not 3-D", "(20, 24)"]),
        ("fractions", "a_dseg.nii.gz", ["no integers", "probseg"]),
        ("unknown", "a_dseg.nii.gz", ["7, 41", "0, 1, 2, 3", "label_map"]),
        ("empty", "a_dseg.nii.gz", ["labels nothing", "segment again"]),
        ("shape", "a_dseg.nii.gz", ["differ in shape", "(20, 24, 17)", "resample the label map"]),
    ],
)
def test_defects_name_file_and_cure(
    tmp_path: Path, write: Writer, brain: Brain, how: str, file: str, words: list[str]
) -> None:
    image, labels = spoil(*brain(), how)
    pair = write(tmp_path / "a_T1w.nii.gz", image), write(tmp_path / "a_dseg.nii.gz", labels)
    with pytest.raises(DataError) as caught:
        read_pair(*pair, READING)
    message = str(caught.value)
    assert str(tmp_path / file) in message
    assert "\n" not in message
    assert [word for word in words if word not in message] == []


def test_different_affines(tmp_path: Path, write: Writer, brain: Brain) -> None:
    image, labels = brain()
    moved = np.eye(4)
    moved[0, 3] = 0.5
    pair = write(tmp_path / "a.nii", image), write(tmp_path / "b.nii", labels, moved)
    with pytest.raises(DataError, match=r"b\.nii and .*a\.nii differ in affine; got corners 0\.5 mm apart"):
        read_pair(*pair, READING)
    moved[0, 3] = 0.01  # round-off of another program
    read_pair(write(tmp_path / "a.nii", image), write(tmp_path / "b.nii", labels, moved), READING)


def rotated(degrees: float, skew: float = 0) -> NDArray[np.float64]:
    affine, angle = np.eye(4), np.radians(degrees)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    affine[0, 2] = skew
    return affine


def test_oblique_grids_must_be_resampled_and_sheared_ones_are_refused(
    tmp_path: Path, write: Writer, brain: Brain
) -> None:
    image, labels = brain()
    oblique = write(tmp_path / "a.nii", image, rotated(12)), write(tmp_path / "b.nii", labels, rotated(12))
    with pytest.raises(DataError, match=r"a\.nii is oblique: .* 12\.0 degrees; .*voxel_mm"):
        read_pair(*oblique, READING)
    with pytest.raises(DataError, match="oblique"):
        read_grid(oblique[0], READING)
    straight = read_pair(*oblique, replace(READING, voxel_mm=1.0))
    assert straight.image.shape == read_grid(oblique[0], replace(READING, voxel_mm=1.0))[0]
    np.testing.assert_array_equal(straight.affine[:3, :3], np.eye(3))
    little = write(tmp_path / "c.nii", image, rotated(0.5)), write(tmp_path / "d.nii", labels, rotated(0.5))
    np.testing.assert_allclose(read_pair(*little, READING).affine[:3, :3], np.eye(3), atol=1e-6)
    sheared = write(tmp_path / "sheared.nii", image, rotated(0, skew=0.2))
    with pytest.raises(DataError, match=r"sheared\.nii has voxel axes that are not at right angles; resample"):
        read_pair(sheared, little[1], READING)


def test_damaged_files(tmp_path: Path, write: Writer, brain: Brain) -> None:
    image, labels = brain((40, 40, 40))
    good = write(tmp_path / "good.nii.gz", labels)
    whole = write(tmp_path / "whole.nii.gz", np.random.default_rng(0).random((40, 40, 40)).astype(np.float32))
    (tmp_path / "cut.nii.gz").write_bytes(whole.read_bytes()[:-5000])
    (tmp_path / "short.nii.gz").write_bytes(gzip.compress(gzip.decompress(whole.read_bytes())[:-9000]))
    (tmp_path / "junk.nii.gz").write_bytes(b"not a picture at all" * 30)
    (tmp_path / "empty.nii").write_bytes(b"")
    (tmp_path / "cut.mgz").write_bytes(write(tmp_path / "whole.mgz", image).read_bytes()[:-3000])
    for name in ("cut.nii.gz", "short.nii.gz", "junk.nii.gz", "empty.nii", "cut.mgz"):
        with pytest.raises(DataError, match=f"{name} is truncated or no readable .*; copy or download it again"):
            read_pair(tmp_path / name, good, READING)
    with pytest.raises(DataError, match=r"gone\.nii is missing"):
        read_pair(tmp_path / "gone.nii", good, READING)


def test_voxels_that_are_no_cubes(tmp_path: Path, write: Writer, brain: Brain) -> None:
    path = write(tmp_path / "a.nii", brain()[0], np.diag([1, 1, 1.2, 1]))
    with pytest.raises(DataError, match=r"a\.nii has voxels that are no cubes; got 1 x 1 x 1\.2 mm; .*voxel_mm"):
        read_grid(path, READING)
    assert read_grid(path, replace(READING, voxel_mm=2.0)) == ((10, 12, 11), 2.0)


def test_a_brain_larger_than_the_box(tmp_path: Path, write: Writer, brain: Brain) -> None:
    image, labels = brain()
    pair = write(tmp_path / "a.nii", image), write(tmp_path / "b.nii", labels)
    with pytest.raises(DataError, match=r"a\.nii: the box cuts off .* of a brain of \d+ x \d+ x \d+ .*larger shape"):
        read_pair(*pair, replace(READING, shape=(12, 24, 18)))
    assert read_pair(*pair, replace(READING, shape=(12, 24, 18), max_cut=0.9)).image.shape == (12, 24, 18)
    assert read_pair(*pair, replace(READING, shape=(32, 32, 32))).image.shape == (32, 32, 32)


def test_brain_only_cuts_the_skull_before_scaling(tmp_path: Path, write: Writer, brain: Brain) -> None:
    image, labels = brain()
    image[0] = 5000
    pair = write(tmp_path / "a.nii", image), write(tmp_path / "b.nii", labels)
    stripped = read_pair(*pair, replace(READING, intensity="p100", brain_only=True))
    assert stripped.image[labels == 0].max() == 0
    assert stripped.image[labels == 3].mean() > 0.8


def test_labels_in_an_unlikely_order_are_refused_when_they_were_assumed(
    tmp_path: Path, write: Writer, brain: Brain
) -> None:
    image, labels = brain()
    bids_standard = np.array([0, 3, 1, 2], np.uint8)[labels]  # 1 GM, 2 WM, 3 CSF
    pair = write(tmp_path / "a.nii", image), write(tmp_path / "b.nii", bids_standard)
    with pytest.raises(DataError, match=r"b\.nii: without a dseg\.tsv, .* label_map, as '\{0: 0, 1: 2, 2: 3, 3: 1\}'"):
        read_pair(*pair, replace(READING, ascending=True))
    mapped = read_pair(*pair, replace(READING, ascending=True, label_map={0: 0, 1: 2, 2: 3, 3: 1}))
    np.testing.assert_array_equal(mapped.labels, labels)


def test_intensity_rules() -> None:
    image = np.array([-5, 0, 1, 2, 3, 4], np.float32)
    np.testing.assert_allclose(normalise(image, 2), [0, 0, 0.5, 1, 1, 1])
    assert BidsOptions(intensity="2").intensity == BidsOptions(intensity=2).intensity == 2.0
    np.testing.assert_allclose(normalise(image, "p100"), [0, 0, 0.25, 0.5, 0.75, 1])


@pytest.mark.parametrize("rule", ["p101", "p10", "q99", "0", -3, "nan", "inf", "pinf"])
def test_intensity_rules_out_of_range(rule: Any) -> None:
    with pytest.raises(ValidationError, match="percentile such as p99.9"):
        BidsOptions(intensity=rule)


def test_label_tables(tmp_path: Path) -> None:
    table = tmp_path / "dseg.tsv"
    rows = ["index name abbreviation", "1 Gray_Matter GM", "2 n/a WM", "3 cerebrospinal_fluid n/a", "9 Skull SK"]
    table.write_text("\n".join(row.replace(" ", "\t").replace("_", " ") for row in rows))
    assert read_dseg_tsv(table) == {0: 0, 1: 2, 2: 3, 3: 1}
    table.write_text("value,meaning\n1,GM\n")
    with pytest.raises(DataError, match=r"dseg\.tsv is no label table; .*columns index and name"):
        read_dseg_tsv(table)
