"""Secrets of keys on the command line."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

Cli = Callable[..., subprocess.CompletedProcess[str]]


def test_commands_take_it(here: Cli, tmp_path: Path) -> None:
    common = ("--dataset", "blobs", "--subjects", "12", "--defense", "noise")
    done = here("attack", "reid", *common, "--key-secret", "secret", "--quiet", "--out", "one", "--controls", "single")
    assert done.returncode in (0, 3), done.stderr
    secret = (tmp_path / "secret").read_text().strip()
    assert secret not in done.stdout + done.stderr
    assert json.loads((tmp_path / "one" / "record.json").read_text())["provenance"]["key_secret"] is True
    sweep = ("sweep", *common, "--attack", "as-is", "--grid", "deviation=[0.1]", "--quiet", "--out", "grid")
    done = here(*sweep, "--key-secret", "secret")
    assert done.returncode == 0, done.stderr
    (record,) = (tmp_path / "grid").glob("*/record.json")
    assert json.loads(record.read_text())["provenance"]["key_secret"] is True
    (tmp_path / "secret").chmod(0o644)
    done = here("audit", *common, "--attack", "reid", "--key-secret", "secret", "--out", "two")
    assert done.returncode == 2
    assert "others may read or change" in done.stderr
