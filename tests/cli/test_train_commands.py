"""``privaudit train`` and ``privaudit segment`` as a user types them."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from privaudit.cli.app import main

Cli = Callable[..., subprocess.CompletedProcess[str]]
TRAIN = ("train", "--dataset", "phantom", "--voxel-mm", "4", "--subjects", "8", "--steps", "2", "--batch", "1",
         "--validation-batches", "1", "--quiet", "--device", "cpu")  # fmt: skip


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """An image on a grid of its own: 3 mm, axes flipped, not starting at the origin."""
    rng = np.random.default_rng(0)
    grid = np.indices((50, 60, 50)) - np.array([25, 30, 25])[:, None, None, None]
    inside = (grid**2 / np.array([20, 25, 20])[:, None, None, None] ** 2).sum(0) < 1
    image = ((0.5 + 0.1 * rng.standard_normal(inside.shape)) * inside * 800).clip(0)
    affine = np.diag([-3.0, -3.0, 3.0, 1.0])
    affine[:3, 3] = (70, 90, -75)
    path = tmp_path / "scan.nii.gz"
    nib.save(nib.Nifti1Image(image.astype(np.int16), affine), path)  # type: ignore[no-untyped-call]
    return path


def load(path: Path) -> Any:
    return nib.load(path)


@pytest.mark.slow
def test_train_then_segment_on_the_images_own_grid(here: Cli, tmp_path: Path, scan: Path) -> None:
    trained = here(*TRAIN, "--defense", "mixup", "--out", "w")
    assert trained.returncode == 0, trained.stderr
    assert "patches of held-out people" in trained.stdout
    assert (tmp_path / "w" / "README.md").is_file()
    done = here(
        "segment", scan, "-o", "labels.nii.gz", "--weights", "w", "--views", "3", "--variance", "var.nii.gz",
        "--subjects", "4", "--quiet", "--device", "cpu",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    source, labels, variance = map(load, (scan, tmp_path / "labels.nii.gz", tmp_path / "var.nii.gz"))
    assert labels.shape == source.shape
    np.testing.assert_allclose(labels.affine, source.affine)
    found = np.asarray(labels.dataobj)
    assert found.dtype == np.uint8
    assert set(np.unique(found)) <= {0, 1, 2, 3}
    spread = np.asarray(variance.dataobj)
    assert spread.shape == source.shape
    assert float(spread.max()) > 0
    assert float(spread.max()) <= 0.25

    # With a ledger no reference is mixed in twice: of four people, three views use up three.
    for number, message in enumerate(("", "too small to use no scan twice; got 1 scans")):
        again = here(
            "segment", scan, "-o", f"again{number}.nii.gz", "--weights", "w", "--views", "3", "--subjects", "4",
            "--ledger", "used.txt", "--quiet", "--device", "cpu",
        )  # fmt: skip
        assert (again.returncode, message in again.stderr) == (2 if message else 0, True), again.stderr
    assert len((tmp_path / "used.txt").read_text().split()) == 3
    assert not (tmp_path / "again1.nii.gz").exists()


def test_bad_input_is_one_clear_line(
    tmp_path: Path, scan: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one process: eight starts of torch take a minute."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "game.yaml").write_text("defense: mixup\ntrain: {adversary: 3}\n")
    cases: list[tuple[tuple[str | Path, ...], str]] = [
        (("train", "--stepps", "3"), "did you mean '--steps'"),
        (("train", "--defense", "none", "--patch-size", "40"), "multiple of 16"),
        (("train", "--patch-size", "40"), "sides are multiples of 16"),
        (("train", "--dataset", "phantom", "--voxel-mm", "4", "--subjects", "3"), "too few people"),
        (("train", "--device", "cuda"), "no such device here"),
        (("train", "--config", "none.yaml"), "no training specification"),
        (("train", "--adversary", "3"), "a training of 'mixup' does not use --adversary"),
        (("train", "--defense", "privacy-net", "--diversity", "3"), "does not use --diversity"),
        (("train", "--defense", "none", "--unmixed-weight", "3"), "does not use --unmixed-weight"),
        (("train", "--config", "game.yaml"), "does not use --adversary"),
        (("segment", scan, "-o", "x.nii.gz", "--weights", "nowhere"), "no trained weights there"),
        (
            ("segment", scan, "-o", "x.nii.gz", "--weights", "w", "--seed", "1"),
            "keys of a client come",
        ),
        (("audit", "--utility.weights", "nowhere", "--voxel-mm", "4"), "no trained weights there"),
    ]
    for arguments, message in cases:
        monkeypatch.setattr("sys.argv", ["privaudit", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        shown = capsys.readouterr().err
        assert stopped.value.code == 2, (arguments, shown)
        assert message in shown
        assert len(shown.strip().splitlines()) == 1, shown
        assert not list(tmp_path.glob("x.nii*"))


@pytest.mark.slow
def test_references_that_cannot_be_mixed_with_are_refused(here: Cli, tmp_path: Path, scan: Path) -> None:
    assert here(*TRAIN, "--steps=1", "--defense", "mixup", "--out", "w").returncode == 2  # --steps twice
    trained = here(*[a for a in TRAIN if a not in ("--steps", "2")], "--steps", "1", "--out", "w")
    assert trained.returncode == 0, trained.stderr
    labels = np.zeros((40, 48, 40), np.uint8)
    for person, image in (("01", labels + np.arange(40, dtype=np.uint8)), ("02", labels[::-1] + np.uint8(1))):
        folder = tmp_path / "bids" / f"sub-{person}" / "anat"
        folder.mkdir(parents=True)
        image = image.copy()
        image[0] = 0
        affine = np.diag([4.0, 4.0, 4.0, 1.0])
        nib.save(nib.Nifti1Image(image, affine), folder / f"sub-{person}_T1w.nii.gz")  # type: ignore[no-untyped-call]
        nib.save(nib.Nifti1Image(labels, affine), folder / f"sub-{person}_dseg.nii.gz")  # type: ignore[no-untyped-call]
    result = here(
        "segment", scan, "-o", "x.nii.gz", "--weights", "w", "--dataset", "bids", "--root", "bids", "--quiet"
    )  # fmt: skip
    assert result.returncode == 2, result.stdout
    assert "labels nothing" in result.stderr
    result = here("segment", scan, "-o", "x.txt", "--weights", "w", "--quiet")
    assert result.returncode == 2
    assert ".nii" in result.stderr
    assert not list(tmp_path.glob("x.*"))


@pytest.mark.slow
def test_folds_are_summed_up(here: Cli, tmp_path: Path) -> None:
    result = here(*TRAIN, "--defense", "none", "--folds", "2", "--steps", "1", "--out", "cv")
    assert result.returncode == 2, "an option given twice is an error"
    arguments = [a for a in TRAIN if a not in ("--steps", "2")]
    result = here(*arguments, "--steps", "1", "--defense", "none", "--folds", "2", "--out", "cv")
    assert result.returncode == 0, result.stderr
    assert '"mean"' in result.stdout
    assert (tmp_path / "cv" / "folds.json").is_file()
    assert (tmp_path / "cv" / "fold-1" / "config.json").is_file()
