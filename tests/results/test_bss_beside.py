"""``python -m benchmarks settings --bss``: separation, beside attacks that were scored on the same patches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import bss_beside
from privaudit.results.record import Record
from tests.records import record


def test_all_stand_beside_and_nothing_is_planted(
    blobs: Callable[..., dict[str, Any]], blob_prior: Path, tmp_path: Path
) -> None:
    data = blobs({"name": "mixup", "views": 3}, dataset={"subjects": 32, "flat": True})
    data |= {"pictures": {"people": 3, "scans": "first"}, "utility": {"weights": "none"}}
    found = bss_beside.cells(data, {"patches": 1, "prior": str(blob_prior), "levels": 3}, tmp_path)
    assert len(found) == len(bss_beside.columns(1))
    separated, as_is, average, joint = (float(cell.split()[0]) for cell in found[:-1])
    assert all(0 < value <= 1 for value in (separated, as_is, average, joint))
    assert float(found[-1].split()[0]) == pytest.approx(separated - joint, abs=0.0011)
    (run,) = tmp_path.iterdir()
    names = {path.stem for path in (run / "jobs").glob("*.jsonl")}
    assert {"bss.pigdm alpha-estimated.audit", "joint.K=3.audit", "average.K=3.audit"} <= names
    assert not any(name.startswith(("bss", "joint", "average")) and not name.endswith(".audit") for name in names)


def test_what_did_not_finish_has_no_figures() -> None:
    empty: Record = record().model_copy(update={"findings": []})
    assert len(bss_beside.row(empty)) == len(bss_beside.columns(1))
    assert set(bss_beside.row(empty)) <= {"–", "did not finish"}
