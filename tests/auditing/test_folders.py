"""Other people's files: nothing is removed or replaced that privaudit has not written, and no input is an output."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from privaudit.auditing.folders import clear_run
from privaudit.auditing.opening import Settings
from privaudit.auditing.panel import run_panel
from privaudit.auditing.run import run_audit
from privaudit.auditing.spec import parse_spec
from privaudit.auditing.sweep import grid_points, run_sweep
from privaudit.errors import OptionError, WriteError
from privaudit.files import check_place, refuse_same
from privaudit.prior.options import PriorOptions, PriorSpec
from privaudit.prior.training import open_prior_training
from privaudit.segmentation.opening import open_training
from privaudit.segmentation.options import TrainOptions, TrainSpec, parse_training

Make = Callable[..., dict[str, Any]]
OWN = {
    "spec.yaml": "mine",
    "card.psd": "a drawing",
    "record.json": "{}",
    "tables/heights.csv": "1",
    "README.md": "mine",
    "config.json": "{}",
    "panel.html": "mine",
    "notes/a.txt": "mine",
}


@pytest.fixture
def somebodys(tmp_path: Path) -> Path:
    folder = tmp_path / "somebodys"
    for name, text in OWN.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def content(folder: Path) -> dict[str, str]:
    return {str(f.relative_to(folder)): f.read_text() for f in folder.rglob("*") if f.is_file()}


def writers(blobs: Make) -> dict[str, Callable[[Path], object]]:
    """Everything that is given a folder with ``--out``."""
    spec = parse_spec(blobs("none", ["as-is"], dataset={"subjects": 12}), "test")
    train = parse_training(TrainSpec, TrainOptions, {"dataset": "blobs", "defense": "none"}, "test")
    prior = parse_training(PriorSpec, PriorOptions, {"dataset": "blobs"}, "test")
    return {
        "audit": lambda out: run_audit(spec, Settings(out=out)),
        "panel": lambda out: run_panel([spec], Settings(), out, lambda name, total: lambda amount: None),
        "train": lambda out: open_training(train, out, device="cpu"),
        "folds": lambda out: open_training(train, out, device="cpu", folds=2),
        "prior": lambda out: open_prior_training(prior, out, device="cpu"),
    }


@pytest.mark.parametrize("name", ["audit", "panel", "train", "folds", "prior"])
def test_a_folder_that_is_somebody_elses_is_refused_whole(name: str, blobs: Make, somebodys: Path) -> None:
    with pytest.raises(OptionError, match="somebodys holds files that are of no .* choose another folder with --out"):
        writers(blobs)[name](somebodys)
    assert content(somebodys) == OWN


def test_a_sweep_into_somebody_elses_folder_is_refused(blobs: Make, somebodys: Path) -> None:
    base = parse_spec(blobs("mixup", ["as-is"], dataset={"subjects": 12}), "test")
    with pytest.raises(OptionError, match="of no sweep of privaudit"):
        run_sweep(grid_points(base, {"views": [1]}, somebodys), Settings())
    assert content(somebodys) == OWN


@pytest.mark.parametrize(("name", "place"), [("audit", "empty"), ("panel", "missing"), ("folds", "missing")])
def test_missing_and_empty_folders_become_ones_own(name: str, place: str, blobs: Make, tmp_path: Path) -> None:
    folder = tmp_path / "out" / "deep"
    if place == "empty":
        folder.mkdir(parents=True)
    write = writers(blobs)[name]
    write(folder)
    write(folder)  # it is marked, and so it may be used again
    (folder / "stranger.txt").write_text("mine")
    write(folder)
    assert (folder / "stranger.txt").read_text() == "mine"
    other = "train" if name in ("audit", "panel") else "audit"
    with pytest.raises(OptionError, match="holds files"):
        writers(blobs)[other](folder)


def test_a_run_of_an_earlier_version_needs_no_marker(blobs: Make, tmp_path: Path) -> None:
    write = writers(blobs)["audit"]
    write(tmp_path / "run")
    (tmp_path / "run" / ".privaudit-run").unlink()
    write(tmp_path / "run")
    assert (tmp_path / "run" / ".privaudit-run").is_file()


def test_of_a_run_only_files_that_audits_write_are_removed(tmp_path: Path) -> None:
    own = ["record.json", "card.html", "card.md", "tables/as-is.default.csv", "jobs/as-is.default.planted-50.error.txt"]
    kept = [
        "card.psd",
        "card.ai",
        "tables/heights.csv",
        "jobs/my.error.txt",
        "jobs/as-is.default.audit.jsonl",
        "a.txt",
    ]
    for name in [*own, *kept]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    clear_run(tmp_path)
    assert set(content(tmp_path)) == set(kept)


@pytest.mark.parametrize("link", [None, os.symlink, os.link])
def test_an_output_that_is_an_input_is_refused(link: Any, tmp_path: Path) -> None:
    scan, output = tmp_path / "scan.nii.gz", tmp_path / "out.nii.gz"
    scan.write_text("x")
    if link is None:
        output = tmp_path / "." / "scan.nii.gz"
    else:
        link(scan, output)
    with pytest.raises(OptionError, match="would replace .*scan.nii.gz, which is read"):
        refuse_same(output, None, scan)
    refuse_same(tmp_path / "new.nii.gz", None, scan)


def bad_places(tmp_path: Path) -> dict[str, Path]:
    """Places that even root cannot write to; a full disk is made up below."""
    (tmp_path / "file").write_text("x")
    return {
        "below a file": tmp_path / "file" / "run",
        "a file": tmp_path / "file",
        "not to be written": Path("/proc/privaudit-run"),
    }


@pytest.mark.parametrize("place", ["below a file", "a file", "not to be written"])
@pytest.mark.parametrize("name", ["audit", "panel", "train", "prior"])
def test_places_that_cannot_be_written_are_refused_before_work_starts(
    name: str, place: str, blobs: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def begun(*_: Any, **__: Any) -> Any:
        pytest.fail("data was opened")

    write = writers(blobs)[name]
    monkeypatch.setattr("privaudit.contracts.plugin.create", begun)
    with pytest.raises(WriteError, match="cannot be written: .*; make room, or choose another place"):
        write(bad_places(tmp_path)[place])
    assert (tmp_path / "file").read_text() == "x"


def test_a_full_disk_is_noticed_and_nothing_stays_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    check_place(tmp_path / "a" / "b")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match=r"a/b cannot be written: No space left on device"):
        check_place(tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())


def test_a_disk_that_fills_up_ends_the_audit_with_one_error(
    blobs: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And no attack is blamed for it: the same command continues when there is room."""
    from privaudit.auditing.store import JobFile

    sealed, room = JobFile._sealed, [30]

    def filling(self: JobFile, line: Any) -> str:
        room[0] -= 1
        if room[0] < 0:
            raise OSError(28, "No space left on device")
        return sealed(self, line)

    write = writers(blobs)["audit"]
    with monkeypatch.context() as patch:
        patch.setattr(JobFile, "_sealed", filling)
        with pytest.raises(WriteError, match=r"jsonl cannot be written: No space left on device; make room"):
            write(tmp_path / "run")
    assert not (tmp_path / "run" / "record.json").exists()
    write(tmp_path / "run")
    assert (tmp_path / "run" / "record.json").is_file()
