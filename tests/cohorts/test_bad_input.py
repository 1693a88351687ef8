"""Bad input by class: headers and values that no file has, names that are no text, grids that no memory holds."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nibabel.freesurfer.mghformat import header_dtype as mgh_header
from nibabel.nifti1 import header_dtype as nifti_header
from numpy.typing import NDArray

from privaudit.cohorts.bids import BidsDataset
from privaudit.cohorts.freesurfer import names_from_csv, names_from_pattern
from privaudit.cohorts.grids import Scan, resample
from privaudit.cohorts.intensity import check_rule
from privaudit.cohorts.participants import read_participants
from privaudit.cohorts.volumes import Reading, read_array, read_pair
from privaudit.errors import DataError, OptionError
from privaudit.memory import installed, require_memory

Writer = Callable[..., Path]
Brain = Callable[..., tuple[NDArray[Any], NDArray[Any]]]


def with_field(path: Path, name: str, value: float, at: int = 0) -> Path:
    """Set one field of a header."""
    content = path.read_bytes()
    raw = bytearray(gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
    kind = mgh_header.newbyteorder(">") if path.suffix == ".mgz" else nifti_header.newbyteorder("<")
    header = np.frombuffer(raw, kind, count=1).copy()
    header[name].reshape(-1)[at] = value
    raw[: kind.itemsize] = header.tobytes()
    path.write_bytes(gzip.compress(bytes(raw)) if path.name.endswith("z") else bytes(raw))
    return path


def read(tmp_path: Path, write: Writer, brain: Brain, ending: str, **fields: Any) -> Any:
    image, labels = brain()
    pair = write(tmp_path / f"i{ending}", image.round().astype(np.int16)), write(tmp_path / f"l{ending}", labels)
    for name, value in fields.items():
        with_field(pair[0], name, *value)
    return read_pair(*pair, Reading())


HEADERS: dict[str, tuple[str, dict[str, tuple[float, int]]]] = {
    "vox_offset inf": (".nii.gz", {"vox_offset": (np.inf, 0)}),
    "vox_offset 1e30": (".nii", {"vox_offset": (1e30, 0)}),
    "vox_offset NaN": (".nii.gz", {"vox_offset": (np.nan, 0)}),
    "values beyond float32": (".nii.gz", {"scl_slope": (3e38, 0)}),
    "an infinite slope": (".nii", {"scl_slope": (1e30, 0), "scl_inter": (3e38, 0)}),
    "a side that is none": (".nii.gz", {"dim": (-5, 1)}),
    "a huge side": (".nii.gz", {"dim": (32767, 1)}),
    "an unknown MGH type": (".mgz", {"type": (7, 0)}),
    "an MGH side of 0": (".mgz", {"dims": (0, 0)}),
    "short MGH data": (".mgz", {"dims": (200, 0)}),
    "a negative MGH side": (".mgz", {"dims": (-3, 2)}),
}


@pytest.mark.parametrize("what", HEADERS)
def test_impossible_headers_are_errors_that_name_the_file(
    what: str, tmp_path: Path, write: Writer, brain: Brain, capfd: pytest.CaptureFixture[str]
) -> None:
    ending, fields = HEADERS[what]
    with pytest.raises(DataError) as caught:
        read(tmp_path, write, brain, ending, **fields)
    assert f"i{ending}" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == "", "a reader's own lines do not say which file"


@pytest.mark.parametrize(
    ("factor", "good"), [(1e-300, False), (1e-36, False), (1e-20, True), (1e20, True), (1e35, False)]
)
def test_intensities_that_float32_cannot_carry_are_refused(
    factor: float, good: bool, tmp_path: Path, write: Writer, brain: Brain
) -> None:
    image, labels = brain()
    pair = write(tmp_path / "i.nii.gz", image.astype(np.float64) * factor), write(tmp_path / "l.nii.gz", labels)
    if good:
        volume = read_pair(*pair, Reading())
        assert volume.image.max() == 1
        return
    with pytest.raises(DataError, match="i.nii.gz holds intensities beyond what can be computed with; got .*scl_slope"):
        read_pair(*pair, Reading())


@pytest.mark.parametrize("rule", ["1e-300", 1e-300, "1e300", "nan", "inf", "0", "-1", "p50", "p101", "p"])
def test_an_intensity_that_gives_no_numbers_is_refused(rule: float | str) -> None:
    with pytest.raises(ValueError, match="must be a positive number"):
        check_rule(rule)


def test_the_smallest_intensity_gives_numbers(tmp_path: Path, write: Writer, brain: Brain) -> None:
    image, labels = brain()
    pair = write(tmp_path / "i.nii.gz", image), write(tmp_path / "l.nii.gz", labels)
    assert np.isfinite(read_pair(*pair, Reading(intensity=check_rule(1e-30))).image).all()


def test_a_small_file_that_unpacks_to_more_than_its_header_tells_is_refused(
    tmp_path: Path, write: Writer, brain: Brain
) -> None:
    path = write(tmp_path / "i.nii.gz", brain()[0])
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()) + bytes(2**26)))
    with pytest.raises(DataError, match="holds more than its header tells of"):
        read_array(path)


def test_what_cannot_fit_into_memory_is_refused_before_it_is_tried(
    tmp_path: Path, write: Writer, brain: Brain, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 2**28 < installed() < 2**60
    require_memory(2**20, "a thing", "be small")
    with pytest.raises(DataError, match="a thing needs more memory than there is; got at least .* GiB; allowed"):
        require_memory(1e19, "a thing", "be small")
    image, labels = brain()
    with pytest.raises(DataError, match="resampled to 1e-05 mm, needs more memory.*larger voxel_mm"):
        resample(Scan(image, labels, np.eye(4)), 1e-5)
    monkeypatch.setattr("privaudit.memory.installed", lambda: 1e5)
    path = write(tmp_path / "i.nii.gz", image)
    with pytest.raises(DataError, match="i.nii.gz, of .* voxels, needs more memory.*size in its header"):
        read_array(path)


@pytest.mark.parametrize(
    "options", [{"voxel_mm": 0.001}, {"voxel_mm": 0.001, "shape": [24, 24, 24]}, {"shape": [1024] * 3, "voxel_mm": 1.0}]
)
def test_grids_that_cannot_fit_are_refused(
    options: dict[str, Any], tmp_path: Path, write_bids: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("privaudit.memory.installed", lambda: 2.0**33)
    dataset = BidsDataset.from_values(root=str(write_bids(tmp_path / "study")), **options)

    def first() -> None:
        cohort = dataset.open(cache=tmp_path / "cache")
        cohort.load(cohort.scans[0])

    with pytest.raises(DataError, match=r"needs more memory than there is; got .* GiB; allowed: 8 GiB; set a larger"):
        first()


def test_an_audit_whose_views_cannot_fit_is_refused_before_work_starts(tmp_path: Path) -> None:
    from privaudit.auditing.opening import Settings, open_context
    from privaudit.auditing.spec import parse_spec

    data = {"defense": {"name": "mixup", "views": 10**6}, "dataset": {"name": "phantom", "subjects": 12}}
    with pytest.raises(DataError, match="a request of 1000000 views of .* needs more memory"):
        open_context(parse_spec(data, "test"), Settings(out=tmp_path / "run", cache=tmp_path / "cache"))


def test_names_that_are_not_utf8_are_errors(tmp_path: Path, write_bids: Writer) -> None:
    root = write_bids(tmp_path / "study")
    (root / "sub-01").rename(os.fsdecode(os.fsencode(root) + b"/sub-\xff1"))
    with pytest.raises(DataError, match=r"sub-\\xff1.* has a name that is not UTF-8; rename it"):
        BidsDataset.from_values(root=str(root)).open(cache=tmp_path / "cache")


def test_a_folder_above_that_is_not_utf8_is_no_obstacle(tmp_path: Path, write_bids: Writer) -> None:
    root = write_bids(Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff")) / "study")
    assert len(BidsDataset.from_values(root=str(root)).open(cache=tmp_path / "cache").fingerprint) == 64


@pytest.mark.parametrize("content", [b"\xff\xfe", b"participant_id\tage\n" + b"x" * 200_000 + b"\t1\n"])
def test_tables_that_are_none_are_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "participants.tsv").write_bytes(content)
    with pytest.raises(DataError, match=r"participants\.tsv is no table"):
        read_participants(tmp_path)


def test_a_pattern_that_names_nobody_and_rows_that_are_short(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="person and visit cannot be read"):
        names_from_pattern([tmp_path / "x_1"], "(?P<subject>y)?.*")
    with pytest.raises(OptionError, match="no regular expression"):
        names_from_pattern([tmp_path / "x"], "(?P<subject>a){99999999999999999999}")
    (tmp_path / "ida.csv").write_text("Image Data ID,Subject,Visit\nI1\n")
    with pytest.raises(DataError, match="no download table"):
        names_from_csv([tmp_path / "I1"], tmp_path / "ida.csv")


@pytest.mark.parametrize("root", ["x" * 5000, "a\x00b", "~nobody-of-this-name/x"])
def test_roots_that_cannot_be_are_named(root: str) -> None:
    with pytest.raises(DataError, match="is no folder"):
        BidsDataset.from_values(root=root).open()


def test_the_images_of_these_tests_are_good(tmp_path: Path, write: Writer, brain: Brain) -> None:
    """Else the tests above would pass for another reason."""
    for ending in (".nii", ".nii.gz", ".mgz"):
        assert read(tmp_path, write, brain, ending).image.max() == 1
