"""Ctrl-C, pressed in a terminal and sent where there is none: a message, and exit code 130."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

MESSAGE = "privaudit: stopped; finished work is kept, the same command continues from there"
"""Of 80 letters: a terminal of that width does not break it within a word."""


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "privaudit", *arguments]


def read_until(stream: int, text: str, seconds: float = 120.0) -> str:
    """What comes from a file descriptor until it holds the text, or ends."""
    seen, end = b"", time.monotonic() + seconds
    while text.encode() not in seen and time.monotonic() < end:
        if select.select([stream], [], [], 0.1)[0]:
            try:
                more = os.read(stream, 65536)
            except OSError:  # how Linux tells that the other side of a terminal is closed
                break
            if not more:
                break
            seen += more
    return seen.decode(errors="replace")


def hearing() -> None:
    """Hear Ctrl-C, even where the tests run in the background, whose children would ignore it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def own_terminal() -> None:
    """Make the terminal on standard input the process's own."""
    hearing()
    os.close(os.open(os.ttyname(0), os.O_RDWR))


def test_ctrl_c_in_a_terminal() -> None:
    master, slave = pty.openpty()
    keys = subprocess.Popen(
        command("key-audit", "--keys", "10000000"), stdin=slave, stdout=slave, stderr=slave, start_new_session=True,
        preexec_fn=own_terminal,
    )  # fmt: skip
    os.close(slave)
    try:
        assert "keys" in read_until(master, "keys")
        os.write(master, b"\x03")
        assert MESSAGE in read_until(master, MESSAGE)
        assert keys.wait(60) == 130
    finally:
        keys.kill()
        os.close(master)


def test_an_interrupt_without_a_terminal(thirdparty: Path, tmp_path: Path) -> None:
    audit = subprocess.Popen(
        command("attack", "reid", "--dataset", "blobs", "--subjects", "40", "--controls", "graded"), cwd=tmp_path,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=hearing,
        env={**os.environ, "PYTHONPATH": str(thirdparty), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert audit.stderr is not None
    try:
        assert "reid encoded, the scheme as it is: 40 of 40" in read_until(audit.stderr.fileno(), " s\n")
        audit.send_signal(signal.SIGINT)
        said = read_until(audit.stderr.fileno(), MESSAGE)
        assert MESSAGE in said
        assert "Traceback" not in said
        assert audit.wait(60) == 130
    finally:
        audit.kill()
        audit.stderr.close()
    assert not list(tmp_path.rglob("record.json"))
