"""Sweeps: the grid, the summary, and that where the audits run changes no figure."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from privaudit.auditing.opening import Settings
from privaudit.auditing.spec import AuditSpec, parse_spec
from privaudit.auditing.sweep import best_dice, grid_points, run_sweep, summarise
from privaudit.errors import OptionError
from privaudit.results.record_files import read
from privaudit.scoring.kinds import all_kinds
from tests.records import finding, record

Cli = Callable[..., subprocess.CompletedProcess[str]]


def base() -> AuditSpec:
    data = {
        "dataset": {"name": "blobs", "subjects": 12}, "defense": "mixup", "attacks": ["average"],
        "scoring": {"resamples": 200, "min_subjects": 3},
    }  # fmt: skip
    return parse_spec(data, "test")


def test_a_grid_is_every_combination_each_in_a_folder_of_its_own(tmp_path: Path) -> None:
    points = grid_points(base(), {"alpha": [[0.0, 0.5], [0.5, 1.0]], "views": [1, 5, 10]}, tmp_path)
    assert len(points) == 6
    assert len({point.run for point in points}) == 6
    assert points[0].spec.defense.values["views"] == 1
    assert points[-1].label == "alpha 0.5–1, views 10"
    with pytest.raises(OptionError, match="needs a grid"):
        grid_points(base(), {}, tmp_path)
    with pytest.raises(OptionError, match="needs a grid"):
        grid_points(base(), {"views": []}, tmp_path)


def test_a_summary_takes_the_strongest_attack(tmp_path: Path) -> None:
    (point,) = grid_points(base(), {"views": [2]}, tmp_path)
    row = summarise(point, record(finding(estimate=0.75), finding("other", estimate=0.9)), all_kinds())
    assert row["views"] == "2"
    assert row["reconstruction"] == 0.9
    assert row["reconstruction_attack"] == "other K=10"
    assert row["identity"] is None
    assert best_dice({"dice naive": 0.5, "dice learned": None}) == "dice naive"
    assert best_dice({}) is None


@pytest.mark.slow
def test_a_dask_cluster_of_two_workers_gives_the_same_records(thirdparty: Path, tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="Dask is not installed")
    settings = Settings(quiet=True, device="cpu")
    grid = {"views": [1, 3]}
    done: list[float] = []
    run_sweep(grid_points(base(), grid, tmp_path / "one"), settings, advance=done.append)
    assert done == [1, 1]
    points = grid_points(base(), grid, tmp_path / "dask")
    run_sweep(points, settings, backend="dask", jobs=2)
    for point in points:
        other = read(tmp_path / "one" / point.run.name)
        assert read(point.run).stable() == other.stable()


@pytest.mark.slow
def test_the_command_writes_table_and_plot(cli: Cli, tmp_path: Path) -> None:
    arguments = ["sweep", "--dataset", "blobs", "--subjects", "12", "--attack", "average", "--scoring.resamples", "200"]
    result = cli(*arguments, "--grid", "views=[1, 2]", "--out", "s", "--device", "cpu")
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "s" / "sweep.json").read_text())
    assert [row["views"] for row in rows] == ["1", "2"]
    assert (tmp_path / "s" / "frontier.png").read_bytes()[:4] == b"\x89PNG"
    assert "b00" not in (tmp_path / "s" / "sweep.csv").read_text()
    for bad, message in (("views", "cannot be read"), ("vews=[1]", "did you mean 'views'")):
        result = cli(*arguments, "--grid", bad)
        assert result.returncode == 2
        assert message in result.stderr
