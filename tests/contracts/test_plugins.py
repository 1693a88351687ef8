"""Discovery: third-party plugins work like built-in ones; broken, unknown and doubled ones are named."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from privaudit.contracts import plugin
from privaudit.contracts.attack import Attack
from privaudit.errors import PluginError
from privaudit.results.overall import Verdict
from privaudit.results.record_files import read

Cli = Callable[..., subprocess.CompletedProcess[str]]


def distribution(folder: Path, name: str, points: str, code: str = "") -> None:
    """Write the metadata of an installed distribution, and one module."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(points)
    (folder / f"{name.replace('-', '_')}.py").write_text(code)


def test_all_four_kinds_come_from_one_third_party_package(cli: Cli, tmp_path: Path) -> None:
    options = [
        "--dataset",
        "blobs",
        "--subjects",
        "24",
        "--defense",
        "pure-noise",
        "--attack",
        "smooth",
        "--width",
        "5",
    ]
    out = cli("audit", *options, "--out", "run", "--scoring.resamples", "500")
    assert out.returncode == 0, out.stderr
    record = read(tmp_path / "run")
    assert (record.dataset.name, record.defense.name) == ("blobs", "pure-noise")
    assert {f.params["width"] for f in record.findings if f.attack == "smooth"} == {5}
    out = cli("report", "run", "--format", "plain")
    assert out.returncode == 0, out.stderr
    assert (tmp_path / "run" / "card.txt").read_text() == f"pure-noise: {record.verdict}\n"
    assert record.verdict is not Verdict.LEAK
    for kind, name in (("attacks", "smooth"), ("defenses", "pure-noise"), ("datasets", "blobs"), ("reports", "plain")):
        line = next(ln for ln in cli(kind, "list").stdout.splitlines() if ln.startswith(name))
        assert "privaudit-example 0.3.0" in line


def test_a_broken_plugin_is_listed_and_stops_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distribution(tmp_path, "bad-one", "[privaudit.attacks]\nbad = bad_one:Bad\n", "import no_such_module\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    rows = {row.name: row for row in plugin.listing("attacks", Attack)}
    assert "no_such_module" in (rows["bad"].broken or "")
    assert rows["reid"].broken is None
    with pytest.raises(PluginError, match="bad-one 1.0 cannot be imported: ModuleNotFoundError"):
        plugin.load("attacks", "bad", Attack)
    assert plugin.load("attacks", "reid", Attack).name == "reid"


def test_two_distributions_with_one_name_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    distribution(tmp_path, "copycat", "[privaudit.attacks]\nreid = copycat:Reid\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(
        PluginError, match=r"the attack 'reid' is claimed by two distributions: copycat 1\.0 .* and privaudit"
    ):
        plugin.load("attacks", "reid", Attack)


def test_what_is_no_plugin_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from privaudit.contracts.attack import Attack\nclass Wrong(Attack):\n    name = 'other'\n    summary = ''\n"
    points = "[privaudit.attacks]\nnumber = odd_one:Number\nwrong = odd_one:Wrong\n"
    distribution(tmp_path, "odd-one", points, code + "Number = 3\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PluginError, match="no subclass of"):
        plugin.load("attacks", "number", Attack)
    with pytest.raises(PluginError, match="calls itself 'other'"):
        plugin.load("attacks", "wrong", Attack)
