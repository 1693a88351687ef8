"""The shell's completion knows plugins and their options, and the help of an attack lists its own."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("attack re", {"reference-reid", "registered-reid", "reid"}),
        ("attack smooth --wi", {"--width", "--with-images"}),
        ("audit --defense mix", {"mixup"}),
        ("audit --dataset blobs --si", {"--side"}),
        ("audit --voxel", {"--voxel-mm"}),
    ],
)
def test_completion(thirdparty: Path, words: str, found: set[str]) -> None:
    # As the shell calls it: by its own name.
    command = "import sys; sys.argv = ['privaudit']; from privaudit.cli import main; main()"
    asked = {"COMP_WORDS": f"privaudit {words}", "COMP_CWORD": str(len(words.split()))}
    told = subprocess.run(
        [sys.executable, "-c", command], capture_output=True, text=True, timeout=300, check=False,
        env={**os.environ, "PYTHONPATH": str(thirdparty), **asked, "_PRIVAUDIT_COMPLETE": "complete_bash"},
    )  # fmt: skip
    assert set(told.stdout.split()) == found, told.stdout + told.stderr


def test_the_help_of_an_attack_lists_its_options(cli: Cli) -> None:
    shown = cli("attack", "smooth", "--help")
    assert shown.returncode == 0, shown.stderr
    assert "--width  " in shown.stdout
    assert "--msssim" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80


def test_no_line_of_help_is_cut_or_broken_by_the_terminal() -> None:
    from privaudit.cli.app import app

    for words in ([], ["attack", "reid"], ["attack", "bss"]):
        shown = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "80"})
        assert shown.exit_code == 0, shown.output
        assert "..." not in shown.stdout.replace("[ARGS]...", "")
        assert max(map(len, shown.stdout.splitlines())) <= 80
