"""The script that says whether two runs say the same must not say so where they do not."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.same_records import differences, main
from privaudit.results.record_files import dumps
from tests.records import full


def put(run: Path, data: Any) -> Path:
    run.mkdir(parents=True)
    (run / "record.json").write_text(json.dumps(data))
    return run


def test_what_does_not_count_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = json.loads(dumps(full()))
    other = copy.deepcopy(one)
    other["findings"][0]["seconds"] = 99.0
    other["provenance"]["commit"] = "another"
    assert main([str(put(tmp_path / "a", one)), str(put(tmp_path / "b", other))]) == 0
    assert "equal" in capsys.readouterr().out


@pytest.mark.parametrize("part", ["findings", "utility", "missing"])
def test_a_digit_or_a_row_is_seen(part: str, tmp_path: Path) -> None:
    one = json.loads(dumps(full()))
    other = copy.deepcopy(one)
    if part == "missing":
        other[part].pop()
    else:
        other[part][0]["estimate"] += 1e-9
    assert list(differences(one, other))
    assert main([str(put(tmp_path / "a", one)), str(put(tmp_path / "b", other))]) == 1


def test_another_panel_is_another(tmp_path: Path) -> None:
    one = json.loads(dumps(full()))
    put(tmp_path / "a" / "x", one)
    put(tmp_path / "b" / "x", one)
    assert main([str(tmp_path / "a"), str(tmp_path / "b")]) == 0
    put(tmp_path / "b" / "y", one)
    assert main([str(tmp_path / "a"), str(tmp_path / "b")]) == 1
