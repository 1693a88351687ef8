"""Programs of others: run with a time limit, and ended with all that they have started."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

SHELLS: Final = ("_", "OLDPWD")
"""Variables in which shells say what they run and where they were: no program need know."""
_running: set[int] = set()


def run_program(words: Sequence[str], folder: Path, seconds: float, tail: int) -> tuple[int, str]:
    """Run a program in a folder, and wait for it.

    Its environment is that of this process, without :data:`SHELLS`; what it prints on standard output is thrown away.
    Processes that it leaves behind are ended.

    Args:
        words: the program and its arguments.
        folder: where it runs.
        seconds: how long it may take.
        tail: characters of what it says on standard error that are returned, the last ones.

    Returns:
        Its exit code, and what it said.

    Raises:
        subprocess.TimeoutExpired: it took longer, and was ended.
        OSError: it cannot be run.
    """
    environment = {name: value for name, value in os.environ.items() if name not in SHELLS} | {"PWD": str(folder)}
    with tempfile.TemporaryFile() as said:  # a pipe would wait for whatever the program leaves behind
        process = subprocess.Popen(
            words, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=said,
            start_new_session=True,
        )  # fmt: skip
        _running.add(process.pid)
        try:
            code = process.wait(seconds)
        finally:
            _running.discard(process.pid)
            _end(process.pid)
            process.wait()
        size = said.seek(0, os.SEEK_END)
        said.seek(max(0, size - 4 * tail))  # a character has at most four bytes
        return code, " ".join(said.read().decode(errors="replace").split())[-tail:]


def end_programs() -> None:
    """End every program that this process runs: whoever waits for them in threads has been interrupted."""
    for group in tuple(_running):
        _end(group)


def _end(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
