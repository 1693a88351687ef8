"""The run folder: torn, damaged and forged lines, changed keys, two writers."""

from collections.abc import Callable
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


REQUESTS = [str(row["request"]) for row in ROWS]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100)
@given(st.integers(0, 10**6), st.integers(0, 255))
def test_whatever_byte_is_damaged_nothing_wrong_is_taken(tmp_path: Path, place: int, byte: int) -> None:
    path = tmp_path / "a.jsonl"
    path.unlink(missing_ok=True)
    write(path, 5, finish=True)
    content = bytearray(path.read_bytes())
    content[place % len(content)] = byte
    changed = bytes(content) != path.read_bytes()
    path.write_bytes(content)
    job = JobFile.open(path, KEY, REQUESTS)
    assert job.rows == ROWS[: len(job.rows)]
    assert job.done is not changed


def swap(lines: list[str]) -> list[str]:
    return [lines[0], lines[2], lines[1], *lines[3:]]


def forged(text: str, line: int) -> Callable[[list[str]], list[str]]:
    return lambda lines: [*lines[:line], text, *lines[line + 1 :]]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda lines: [lines[0], *lines[2:]],
        lambda lines: [*lines[:3], lines[2], *lines[3:]],
        swap,
        lambda lines: [line.replace("0.5714", "0.9714") for line in lines],
        lambda lines: [lines[0], '{"done": 5, "seconds": 1.0}\n'],
        lambda lines: [*lines[:-1], '{"done": true, "seconds": 1.0}\n'],
        forged('{"row": 7, "seconds": "many"}\n', 2),
        forged("[1, 2]\n", 0),
        forged('{"key": [1]}\n', 0),
        forged("[" * 100_000 + "\n", 3),
        forged('{"row": ' + "9" * 5000 + "}\n", 3),
        forged('{"row": {"request": "r2"}, "seconds": NaN}\n', 3),
        forged("\x00\udcff\n", 3),
    ],
)
def test_a_spoiled_file_is_computed_again_from_there(tmp_path: Path, spoil: Callable[[list[str]], list[str]]) -> None:
    path = tmp_path / "a.jsonl"
    write(path, 5, finish=True)
    lines = spoil(path.read_text().splitlines(keepends=True))
    path.write_bytes("".join(lines).encode("utf-8", "surrogateescape"))
    job = JobFile.open(path, KEY, REQUESTS)
    assert not job.done
    assert job.rows == ROWS[: len(job.rows)]
    assert job.note.startswith(("resumed after", "computed"))


def test_rows_of_another_job_are_not_taken(tmp_path: Path) -> None:
    write(tmp_path / "a.jsonl", 5, finish=True)
    other = {**KEY, "arm": "planted"}
    job = JobFile.open(tmp_path / "b.jsonl", other)
    job.begin()
    job.close()
    rows = (tmp_path / "a.jsonl").read_text().splitlines(keepends=True)[1:]
    with (tmp_path / "b.jsonl").open("a") as stream:
        stream.writelines(rows)  # behind a header that is sound
    found = JobFile.open(tmp_path / "b.jsonl", other)
    assert (found.fresh, found.rows, found.done) == (False, [], False)


def test_a_job_is_done_when_every_request_has_its_row(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write(path, 5, finish=True)
    assert JobFile.open(path, KEY, REQUESTS).note == "reused"
    more = JobFile.open(path, KEY, [*REQUESTS, "r9"])
    assert (more.done, more.note) == (False, "resumed after 5 rows")
    assert JobFile.open(path, KEY, [*REQUESTS, "r9"], every=False).done
    fewer = JobFile.open(path, KEY, REQUESTS[:2])
    assert (fewer.done, fewer.rows) == (False, ROWS[:2])


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
