"""The command line in this process: a start of torch takes seconds, and most tests need none of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from privaudit.cli import app

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def here(thirdparty: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """What ``cli`` does, in an empty folder, without a process of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        words = ["privaudit", *map(str, arguments)]
        with monkeypatch.context() as changed:
            changed.setattr(sys, "argv", words)
            for name, value in environment.items():
                changed.setenv(name, value)
            with pytest.raises(SystemExit) as stop:
                app.main()
        shown = capsys.readouterr()
        return subprocess.CompletedProcess(words, int(stop.value.code or 0), shown.out, shown.err)

    return run
