"""Malformed requests: each gets one line and a status of 4xx, and the server is as it was.

``PRIVAUDIT_FUZZ_CASES=10000 pytest tests/serving/test_fuzz.py tests/wire`` tries 10,000 of each kind, and prints what
became of them as a table. The server has a process of its own, so that its memory and its life are nobody else's.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("uvicorn", reason="needs the extra 'serve'")

from privaudit.wire.messages import INPUT, LENGTH_HEADER, OUTPUT
from privaudit.wire.writing import write_request
from tests.wire.counting import CASES, TALLY
from tests.wire.test_messages import values

MOST_GROWTH = 5.0
"""Megabytes of memory; a server that kept the bodies of 10,000 requests of each kind would grow by more."""
SLOW = 20.0
"""Seconds after which an answer counts as hanging."""
INFER = "/v2/models/segmentation/infer"
BODY, HEADER = write_request("x", {INPUT: np.ones((2, 1, 4, 4, 4), "<f4")}, [OUTPUT])
SERVER = """
import time
from privaudit.serving.limits import MB, Limits
from tests.serving.stub import served
with served(limits=Limits(body=MB, patches=64, voxels=4096, receive=5)) as port:
    print(port, flush=True)
    time.sleep(36000)
"""
fuzzed = settings(
    max_examples=CASES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], deadline=None
)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server; it must live and answer as before when all is over, and hold nothing."""
    root = Path(__file__).parents[2]
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER], cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert server.stdout is not None
    try:
        port = int(server.stdout.readline())
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=SLOW) as http:
            for _ in range(50):  # what a first request imports and allocates is no growth
                assert http.post(INFER, content=BODY, headers={LENGTH_HEADER: str(HEADER)}).status_code == 200
            before = megabytes(server)
            yield port
            TALLY.crashes += server.poll() is not None
            assert server.poll() is None, "the server died"
            assert http.post(INFER, content=BODY, headers={LENGTH_HEADER: str(HEADER)}).status_code == 200
        TALLY.growth = megabytes(server) - before
        assert TALLY.growth < MOST_GROWTH
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def megabytes(server: subprocess.Popen[bytes]) -> float:
    """What a process holds in memory."""
    return float(psutil.Process(server.pid).memory_info().rss) / 2**20


@pytest.fixture(scope="module")
def http(port: int) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=SLOW) as http:
        yield http


PAGES = ("v2", "v2/health/live", "v2/health/ready", "v2/models/segmentation", "v2/models/segmentation/infer", "metrics")
paths = st.text("v2/models.segmntio%0aé?#-", max_size=30) | st.builds(
    lambda page, place, cut, more: page[:place] + more + page[place + cut :],
    st.sampled_from(PAGES), st.integers(0, 30), st.integers(0, 2), st.text("/.%0aé-", max_size=2),
)  # fmt: skip


def check(kind: str, http: httpx2.Client, method: str, path: str, harmless: bool = False, **sent: object) -> None:
    """4xx with one line of JSON; a case may have hit on something right."""
    with TALLY.case(kind) as case:
        answer = http.request(method, path, **sent)  # type: ignore[arg-type]
        case.outcome = str(answer.status_code)
        if not (harmless and answer.status_code == 200):
            assert 400 <= answer.status_code < 500, answer.text
            assert answer.json().keys() == {"error"}
            assert len(answer.text.splitlines()) == 1
            assert len(answer.text) < 1000


@fuzzed
@given(
    body=st.binary(max_size=300),
    length=st.none() | st.integers(0, 400).map(str) | st.text("0123456789 -+eE_", max_size=8),
)
def test_noise(http: httpx2.Client, body: bytes, length: str | None) -> None:
    headers = {} if length is None else {LENGTH_HEADER: length.strip()}
    check("bodies of random bytes", http, "POST", INFER, content=body, headers=headers)


@fuzzed
@given(data=st.data())
def test_a_header_with_something_wrong(http: httpx2.Client, data: st.DataObject) -> None:
    head = json.loads(BODY[:HEADER])
    spot = data.draw(st.sampled_from([head, head["inputs"][0], head["outputs"][0], head["inputs"][0]["parameters"]]))
    spot[data.draw(st.sampled_from(sorted(spot)))] = data.draw(values)
    text = json.dumps(head).encode()
    whole = BODY[HEADER:]
    tail = whole if data.draw(st.booleans()) else whole[: data.draw(st.integers(0, len(whole)))]
    headers = {LENGTH_HEADER: str(len(text))}
    kind = "one field of a right request replaced"
    check(kind, http, "POST", INFER, harmless=True, content=text + tail, headers=headers)


@fuzzed
@given(path=paths, method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]))
def test_addresses(http: httpx2.Client, path: str, method: str) -> None:
    content = b"x" if method != "GET" else None
    check("addresses and methods", http, method, f"/{path.lstrip('/')}", harmless=True, content=content)


@fuzzed
@given(noise=st.binary(min_size=1, max_size=200))
def test_what_is_no_http(port: int, noise: bytes) -> None:
    with TALLY.case("bytes that are no HTTP") as case:
        with socket.create_connection(("127.0.0.1", port), timeout=SLOW) as raw:
            raw.sendall(noise + b"\r\n\r\n")
            raw.shutdown(socket.SHUT_WR)
            said = raw.recv(4096)
        case.outcome = said.split()[1].decode() if said else "connection closed"
        assert not said or case.outcome.startswith("4")
