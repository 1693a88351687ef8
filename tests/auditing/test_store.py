"""The run folder: torn lines, changed keys, two writers."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from privaudit.auditing.store import JobFile, lock
from privaudit.errors import PrivauditError

KEY = {"code": "abc", "seed": 0}
ROWS = [{"request": f"r{i}", "ms_ssim": i / 7} for i in range(5)]


def write(path: Path, rows: int, finish: bool) -> None:
    job = JobFile.open(path, KEY)
    for number, row in enumerate(ROWS[:rows]):
        job.append(row, float(number))
    if finish:
        job.finish(9.0)
    job.close()


def test_a_finished_job_is_reused(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", 5, finish=True)
    job = JobFile.open(tmp_path / "a.jsonl", KEY)
    assert (job.rows, job.done, job.seconds, job.note) == (ROWS, True, 9.0, "reused")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 400))
def test_whatever_byte_a_kill_stops_at_the_end_is_the_same(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.jsonl"
    path.unlink(missing_ok=True)
    write(path, 5, finish=True)
    path.write_bytes(path.read_bytes()[:cut])
    job = JobFile.open(path, KEY)
    assert job.rows == ROWS[: len(job.rows)]
    for row in ROWS[len(job.rows) :]:
        job.append(row, 1.0)
    job.finish(9.0)
    again = JobFile.open(path, KEY)
    assert (again.rows, again.done) == (ROWS, True)


def test_a_changed_key_computes_again_and_says_why(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", 5, finish=True)
    job = JobFile.open(tmp_path / "a.jsonl", {"code": "def", "seed": 0})
    assert job.rows == []
    assert not job.done
    assert job.note == 'computed again: code changed ("abc" → "def")'


def test_a_part_that_is_new_counts_as_changed(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", 5, finish=True)
    assert "weights changed (null" in JobFile.open(tmp_path / "a.jsonl", {**KEY, "weights": "x"}).note


def test_two_processes_cannot_write_one_run(tmp_path: Path) -> None:
    with lock(tmp_path), pytest.raises(PrivauditError, match="another process is writing"), lock(tmp_path):
        pass
