"""The command line as a user meets it."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from privaudit.results.record_files import read

Cli = Callable[..., subprocess.CompletedProcess[str]]
AUDIT = ["audit", "--dataset", "blobs", "--attack", "as-is", "--out", "run"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["audit", "--dataset", "blob"], "no dataset is called 'blob'; did you mean 'blobs'"),
        (["attack", "ried"], "no attack is called 'ried'; did you mean 'reid'"),
        (["audit", "--dataset", "blobs", "--subjetcs", "9"], "no such option: --subjetcs; did you mean '--subjects'"),
        (["audit", "--dataset", "blobs", "--views", "3"], "write --mixup.views or --"),
        (
            ["audit", "--dataset", "blobs", "--subjects", "many"],
            "'blobs' option '--subjects' must be a whole number; got 'many'",
        ),
        (["audit", "--alpha-per", "nope"], "option '--alpha-per' must be 'patch', 'request' or 'volume'; got 'nope'"),
        (["audit", "--mixup.alpha", "[a, b]"], "must be a number; got ['a', 'b']; allowed: float or [float, float]"),
        (["audit", "none.yaml"], "no audit specification there; got none.yaml"),
        (["audit", "--dataset", "blobs", "--device", "tpu"], "no such device here"),
        (["audit", "--dataset", "blobs", "--jobs", "0"], "--jobs must be at least 1"),
        (["audit", "--dataset", "blobs", "--patch-size", "64"], "the patch does not fit the volume"),
        (["audit", "--dataset", "blobs", "--sessions", "1"], "two or more sessions"),
        (["audit", "--dataset", "bids"], "root"),
        (["attack", "--width", "3", "smooth"], "the attack's name comes first"),
        (["report", "nowhere"], "no record at"),
        (["report"], "no finished run"),
        (["defenses", "show", "mixpu"], "did you mean 'mixup'"),
    ],
)
def test_a_mistake_is_one_clear_line_and_exit_code_2(
    here: Cli, tmp_path: Path, arguments: list[str], message: str
) -> None:
    out = here(*arguments)
    assert out.returncode == 2, out.stdout + out.stderr
    assert message in out.stderr
    assert len(out.stderr.strip().splitlines()) == 1
    assert not list(tmp_path.rglob("record.json"))


def test_an_audit_prints_its_verdict_and_writes_its_cards(cli: Cli, tmp_path: Path) -> None:
    out = cli(*AUDIT, "--subjects", "24", "--pictures.scans", "all")
    assert out.returncode == 0, out.stderr
    # No progress bar where nobody watches: a line a job.
    assert re.search(
        r"^as-is default, with 90% of the raw image planted: 24 of 24, \d+ s$", out.stderr, re.MULTILINE
    ), out.stderr
    assert "mixup on blobs (made-up blobs): LEAK" in out.stdout
    for name in ("record.json", "card.html", "card.md", "spec.yaml"):
        assert (tmp_path / "run" / name).is_file()
    again = cli(*AUDIT, "--subjects", "24", "--pictures.scans", "all", "--explain", "--quiet")
    assert "as-is.default.audit: reused" in again.stdout
    assert again.stderr == ""
    assert read(tmp_path / "run").dataset.subjects == 24


def test_attack_is_an_audit_with_one_attack_whose_options_are_options(here: Cli, tmp_path: Path) -> None:
    options = ["--dataset", "blobs", "--defense", "none", "--width", "5", "--out", "run", "--subjects=12"]
    out = here("attack", "smooth", *options)
    assert out.returncode == 0, out.stderr
    assert {f.attack for f in read(tmp_path / "run").findings} == {"smooth", "as-is", "atlas", "random-subject"}


def test_init_writes_a_specification_that_options_can_override(here: Cli, tmp_path: Path) -> None:
    assert here("init").returncode == 0
    assert "already there" in here("init").stderr
    spec = (tmp_path / "audit.yaml").read_text().replace("name: phantom", "name: blobs")
    (tmp_path / "audit.yaml").write_text(spec)
    options = ["--attack", "as-is", "--subjects", "12", "--mixup.views", "2", "--seed", "9", "--out", "run"]
    out = here("audit", "audit.yaml", *options)
    assert out.returncode == 0, out.stderr
    record = read(tmp_path / "run")
    assert (record.seed, record.defense.params["views"], record.defense.params["patch_size"]) == (9, 2, 32)


def test_show_lists_every_option_with_type_and_default(here: Cli) -> None:
    out = here("defenses", "show", "mixup").stdout
    assert "--patch-size  int or null  [default: 32]" in out
    assert "--alpha  float or [float, float]  [default: [0.0, 1.0]]" in out
    assert "--alpha-per  patch|request|volume  [default: volume]" in out
    shown = here("attacks", "show", "average").stdout
    assert "K=10 (decides): atlas, transcript, views" in shown


def test_doctor_says_what_is_there(here: Cli, tmp_path: Path) -> None:
    out = here("doctor")
    assert out.returncode == 0, out.stdout
    assert "devices: cpu" in out.stdout
    assert here("doctor", PRIVAUDIT_DATA=str(tmp_path / "none")).returncode == 4


def test_the_schema_is_printed(here: Cli) -> None:
    assert '"$schema"' in here("schema").stdout


def test_report_writes_one_format_to_standard_output(here: Cli, tmp_path: Path) -> None:
    here(*AUDIT, "--subjects", "12")
    out = here("report", "run", "--format", "plain", "--out", "-")
    assert out.stdout.startswith("mixup: ")
    assert "exactly one --format" in here("report", "run", "--out", "x.html").stderr
    assert here("report", "run", "--format", "html", "--out", "x.html").returncode == 0
    assert (tmp_path / "x.html").read_text().lower().startswith("<!doctype html>")
