"""Malformed requests: each gets one line and a status of 4xx, and the server is as it was.

``PRIVAUDIT_FUZZ_CASES=10000 pytest tests/serving/test_fuzz.py tests/wire`` tries 10,000 of each kind.
"""

from __future__ import annotations

import json
import os
import resource
import socket
from collections.abc import Iterator

import httpx2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

pytest.importorskip("uvicorn", reason="needs the extra 'serve'")

from privaudit.serving.limits import MB, Limits
from privaudit.wire.messages import INPUT, LENGTH_HEADER, OUTPUT
from privaudit.wire.writing import write_request
from tests.serving.stub import served
from tests.wire.test_messages import values

CASES = int(os.environ.get("PRIVAUDIT_FUZZ_CASES", "50"))
MOST_GROWTH = 100 * 1024
"""Kilobytes of memory; a server that kept every body of 10,000 would grow by more."""
INFER = "/v2/models/segmentation/infer"
BODY, HEADER = write_request("x", {INPUT: np.ones((2, 1, 4, 4, 4), "<f4")}, [OUTPUT])
fuzzed = settings(
    max_examples=CASES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], deadline=None
)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """A server; it must answer as before when all is over, and hold nothing."""
    with served(limits=Limits(body=MB, patches=64, voxels=4096, receive=5)) as port:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        yield port
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            assert http.post(INFER, content=BODY, headers={LENGTH_HEADER: str(HEADER)}).status_code == 200
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_GROWTH


@pytest.fixture(scope="module")
def http(port: int) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=20) as http:
        yield http


def check(answer: httpx2.Response, harmless: bool = False) -> None:
    """4xx with one line of JSON; a case may have hit on something right."""
    if harmless and answer.status_code == 200:
        return
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
    check(http.post(INFER, content=body, headers={} if length is None else {LENGTH_HEADER: length.strip()}))


@fuzzed
@given(data=st.data())
def test_a_header_with_something_wrong(http: httpx2.Client, data: st.DataObject) -> None:
    head = json.loads(BODY[:HEADER])
    spot = data.draw(st.sampled_from([head, head["inputs"][0], head["outputs"][0], head["inputs"][0]["parameters"]]))
    spot[data.draw(st.sampled_from(sorted(spot)))] = data.draw(values)
    text = json.dumps(head).encode()
    tail = BODY[HEADER:][: data.draw(st.integers(0, 600))]
    check(http.post(INFER, content=text + tail, headers={LENGTH_HEADER: str(len(text))}), harmless=True)


@fuzzed
@given(path=st.text("v2/models.segmntio%0aé?#-", max_size=30), method=st.sampled_from(["GET", "POST", "PUT", "PATCH"]))
def test_addresses(http: httpx2.Client, path: str, method: str) -> None:
    check(http.request(method, f"/{path.lstrip('/')}", content=b"x" if method != "GET" else None), harmless=True)


@settings(fuzzed, max_examples=max(20, CASES // 10))
@given(noise=st.binary(min_size=1, max_size=200))
def test_what_is_no_http(port: int, noise: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as raw:
        raw.sendall(noise + b"\r\n\r\n")
        raw.shutdown(socket.SHUT_WR)
        said = raw.recv(4096)
    assert not said or said.split()[1][:1] == b"4"
