"""Installs plugin packages among the tests, as a user would: for tests and for ``python -m benchmarks power``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent


def install(package: str, target: Path) -> None:
    """Install ``tests/<package>`` from its own pyproject into a folder, which the caller puts on the import path."""
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--target", str(target), str(TESTS / package)], check=True, timeout=300)
