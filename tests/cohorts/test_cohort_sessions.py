"""Which of a person's sessions counts as the earlier one."""

from collections.abc import Callable
from pathlib import Path

import pytest

from privaudit.cohorts.bids import BidsDataset
from privaudit.contracts.cohort import Cohort
from privaudit.errors import DataError

Folder = Callable[..., Path]


def sessions(cohort: Cohort, subject: str = "01") -> list[str]:
    return [scan.session for scan in cohort.sessions_of(subject)]


def opened(root: Path, **more: object) -> Cohort:
    cohort: Cohort = BidsDataset.from_values(root=root, **more).open(cache=root / "cache")
    return cohort


def test_names_decide_by_the_size_of_their_numbers_and_the_card_says_so(write_bids: Folder, tmp_path: Path) -> None:
    root = write_bids(tmp_path, people=("01",), sessions=("10", "2"))
    cohort = opened(root)
    assert sessions(cohort) == ["2", "10"]
    assert cohort.notes == (
        "sessions are put in order by their names, as no times are known; the first of a person counts as the earlier"
        " scan",
    )
    assert opened(root, shareable=True).notes[0].endswith("the earlier scan, as in 2 before 10")


def test_times_beside_the_scans_decide(write_bids: Folder, tmp_path: Path) -> None:
    root = write_bids(tmp_path, people=("01",), sessions=("post", "pre"))
    before = opened(root)
    assert sessions(before) == ["post", "pre"]
    for session, time in (("post", "2011-05-01T09:00:00"), ("pre", "2009-06-15T13:45:30.5Z")):
        table = root / "sub-01" / f"ses-{session}" / f"sub-01_ses-{session}_scans.tsv"
        table.write_text(f"filename\tacq_time\nanat/sub-01_ses-{session}_T1w.nii.gz\t{time}\n")
    after = opened(root)
    assert sessions(after) == ["pre", "post"]
    assert "by their acq_time" in after.notes[0]
    assert before.fingerprint != after.fingerprint  # figures of one order must not be taken for those of another


@pytest.mark.parametrize(
    ("table", "way"),
    [
        ("session_id\nses-pre\nses-post\n", "as sessions.tsv lists them"),
        ("session_id\tacq_time\nses-post\t2011-05-01\nses-pre\t2009-06-15\n", "by their acq_time"),
        ("session_id\tacq_time\nses-pre\tn/a\nses-post\t2009-06-15\n", "as sessions.tsv lists them"),
    ],
)
def test_the_table_of_sessions_decides(write_bids: Folder, tmp_path: Path, table: str, way: str) -> None:
    root = write_bids(tmp_path, people=("01",), sessions=("post", "pre"))
    (root / "sub-01" / "sub-01_sessions.tsv").write_text(table)
    cohort = opened(root)
    assert sessions(cohort) == ["pre", "post"]
    assert way in cohort.notes[0]


def test_one_session_each_needs_no_order(write_bids: Folder, tmp_path: Path) -> None:
    assert opened(write_bids(tmp_path, people=("01",))).notes == ()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"session_id\tacq_time\nses-pre\tSECRET\nses-post\t2009-06-15\n", "an acq_time is no date and time; allowed"),
        (b"name\nses-pre\n", "has no column 'session_id'"),
        (b"session_id\n\xff\xfe\n", "cannot be read"),
    ],
)
def test_tables_that_cannot_be_used_are_named(write_bids: Folder, tmp_path: Path, content: bytes, message: str) -> None:
    root = write_bids(tmp_path, people=("01",), sessions=("post", "pre"))
    (root / "sub-01" / "sub-01_sessions.tsv").write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        opened(root)
    assert "SECRET" not in str(error.value)
