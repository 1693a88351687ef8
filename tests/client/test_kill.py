"""A server that is killed in the middle of a volume: the client finishes after the restart, and sends nothing new."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="needs the extra 'serve'")

from privaudit.client.connection import Address, Connection
from privaudit.client.remote import RemoteServer
from privaudit.wire.messages import Array
from tests.serving.stub import StubEngine

ROOT = Path(__file__).parents[2]
SERVER = """
import hashlib, sys, time
from tests.serving.stub import StubEngine, served
class Noting(StubEngine):
    def maps(self, patches):
        with open(sys.argv[2], "a") as log:
            log.write(hashlib.sha256(patches.tobytes()).hexdigest() + chr(10))
        return super().maps(patches)
with served(Noting(pause=0.1), port=int(sys.argv[1])):
    time.sleep(300)
"""


def started(port: int, log: Path) -> subprocess.Popen[bytes]:
    server = subprocess.Popen([sys.executable, "-c", SERVER, str(port), str(log)], cwd=ROOT, env=dict(os.environ))
    until = time.monotonic() + 120
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return server
        time.sleep(0.05)
    raise AssertionError("the server did not start")


@pytest.mark.slow
def test_a_killed_server_loses_nothing(tmp_path: Path) -> None:
    views = np.random.default_rng(0).random((12, 8, 4, 4, 4), dtype=np.float32)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log, found = tmp_path / "log.txt", list[Array]()
    server = started(port, log)

    def asking() -> None:
        with Connection(Address(f"http://127.0.0.1:{port}", patience=120)) as connection:
            remote = RemoteServer(connection, 4, 3)
            found.extend(remote.ask(view) for view in views)
            found.append(np.array(connection.repeated))

    client = threading.Thread(target=asking)
    try:
        client.start()
        while not log.exists() or len(log.read_text().split()) < 4:
            time.sleep(0.01)
        server.kill()
        server.wait()
        server = started(port, log)
        client.join(120)
    finally:
        server.kill()
        server.wait()
    *maps, repeated = found
    np.testing.assert_array_equal(maps, [StubEngine().maps(view) for view in views])
    assert int(repeated) >= 1
    seen = log.read_text().split()
    assert len(set(seen)) == len(views)  # a repetition is the same patches, and nobody sees others
    assert len(seen) <= len(views) + 1
