"""The server by its protocol: what it accepts, what it refuses, and that it loses nothing."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx2
import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="needs the extra 'serve'")

from privaudit.errors import OptionError
from privaudit.serving.limits import MB, Limits
from privaudit.serving.running import Door
from privaudit.wire.messages import INPUT, LENGTH_HEADER, OUTPUT, read_answer
from privaudit.wire.writing import write_request
from tests.serving.stub import StubEngine, served

RNG = np.random.default_rng(0)
PATCHES = RNG.random((3, 1, 4, 4, 4), dtype=np.float32)
INFER = "/v2/models/segmentation/infer"


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with served(limits=Limits(body=MB, header=4096, patches=64, voxels=4096, receive=0.5)) as port:
        yield port


def ask(port: int, body: bytes, header: int | None, **headers: str) -> httpx2.Response:
    if header is not None:
        headers |= {LENGTH_HEADER: str(header)}
    return httpx2.post(f"http://127.0.0.1:{port}{INFER}", content=body, headers=headers, trust_env=False)


def message(**changes: Any) -> tuple[bytes, int]:
    body, length = write_request("x", {INPUT: PATCHES}, [OUTPUT])
    head = json.loads(body[:length])
    head["inputs"][0] |= changes
    text = json.dumps(head).encode()
    return text + body[length:], len(text)


def test_maps_are_the_engines_in_binary_and_in_json(port: int) -> None:
    truth = StubEngine().maps(PATCHES[:, 0])
    answer = ask(port, *write_request("x", {INPUT: PATCHES}, [OUTPUT]))
    head, arrays = read_answer(answer.content, answer.headers[LENGTH_HEADER])
    assert (head.id, head.model_name) == ("x", "segmentation")
    np.testing.assert_array_equal(arrays[OUTPUT], truth)
    tensor = {"name": INPUT, "shape": [3, 1, 4, 4, 4], "datatype": "FP32", "data": PATCHES.ravel().tolist()}
    answer = ask(port, json.dumps({"inputs": [tensor]}).encode(), None)
    assert LENGTH_HEADER not in answer.headers
    np.testing.assert_array_equal(read_answer(answer.content, None)[1][OUTPUT], truth)


def test_half_precision_there_and_back(port: int) -> None:
    answer = ask(port, *write_request("x", {INPUT: PATCHES.astype("<f2")}, ["maps_fp16"]))
    maps = read_answer(answer.content, answer.headers[LENGTH_HEADER])[1]["maps_fp16"]
    assert maps.dtype == np.float16
    np.testing.assert_allclose(maps, StubEngine().maps(PATCHES[:, 0]), atol=2e-3)


def test_answers_name_no_software(port: int) -> None:
    headers = ask(port, *message()).headers
    assert {name.lower() for name in headers} == {"content-type", "content-length", LENGTH_HEADER.lower()}


@pytest.mark.parametrize(
    ("body", "header", "status", "said"),
    [
        (*message(shape=[3, 1, 4, 4, 5]), 400, "another number of bytes"),
        (*message(shape=[3, 4, 4, 4]), 400, "have the shape"),
        (*message(name="other"), 400, "a request has one input"),
        (*message(datatype="BYTES"), 400, "unknown datatype"),
        (*message(parameters={"binary_data_size": -1}), 400, "no number of bytes"),
        (*message(parameters={"binary_data_size": 10**9}), 400, "more bytes than there are"),
        (*message(parameters={}), 400, "has no values"),
        (*message(shape=[2**31, 2**31, 1, 1, 1]), 400, "another number of bytes"),
        (message()[0] + b"more", message()[1], 400, "bytes behind the last tensor"),
        (message()[0], 10**6, 400, "more than the body has"),
        (b"{}", None, 400, "inputs"),
        (b"[" * 5000, None, 400, "no inference request"),
        (b"\xff\xfe", None, 400, "no inference request"),
        (b"", None, 400, "no inference request"),
        (*write_request("x", {INPUT: np.full((1, 1, 4, 4, 4), np.nan, "<f4")}, []), 400, "not finite"),
        (*write_request("x", {INPUT: np.zeros((1, 1, 2, 4, 4), "<f4")}, []), 400, "shorter than the network"),
        (*write_request("x", {INPUT: np.zeros((0, 1, 4, 4, 4), "<f4")}, []), 400, "have the shape"),
        (*write_request("x", {INPUT: np.zeros((65, 1, 4, 4, 4), "<f4")}, []), 400, "too much in one request"),
        (*write_request("x", {INPUT: np.zeros((1, 1, 4, 4, 1024), "<f4")}, []), 400, "too much in one request"),
        (*write_request("x", {INPUT: PATCHES}, ["keys"]), 400, "no such output"),
        (*write_request("x" * 5000, {INPUT: PATCHES}, []), 400, "header is too long"),
        (bytes(MB + 1), None, 413, "too long"),
    ],
)  # fmt: skip
def test_bad_requests_get_one_line(port: int, body: bytes, header: int | None, status: int, said: str) -> None:
    answer = ask(port, body, header)
    assert answer.status_code == status, answer.text
    assert said in answer.json()["error"]
    assert "\n" not in answer.text


def test_other_refusals(port: int) -> None:
    url = f"http://127.0.0.1:{port}"
    with httpx2.Client(base_url=url, trust_env=False) as http:
        assert http.get("/v2/models/other").status_code == 404
        assert http.get("/v2/models/segmentation/versions/2/ready").status_code == 404
        assert http.get(INFER).status_code == 405
        assert http.post(INFER, content=b"x", headers={"Content-Encoding": "gzip"}).status_code == 415
        assert http.post(INFER, content=iter([b"x"])).status_code == 411  # chunked: nobody says how much will come
        assert http.get("/v2/health/ready").json() == {"ready": True}
        assert "privaudit_patches_total" in http.get("/metrics").text


def test_a_body_that_comes_too_slowly_is_given_up(port: int) -> None:
    with socket.create_connection(("127.0.0.1", port)) as slow:
        slow.sendall(f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode())
        slow.settimeout(10)
        assert b" 408 " in slow.recv(4096)


def test_slow_clients_keep_nobody_else_waiting() -> None:
    head = f"POST {INFER} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{{".encode()
    with served(limits=Limits(receive=3.0)) as port, contextlib.ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60)) for _ in range(60)]
        for connection in slow:
            connection.sendall(head)
        assert ask(port, *message()).status_code == 200
        assert not select.select(slow, [], [], 0)[0]  # they are all still there
        assert all(b" 408 " in connection.recv(4096) for connection in slow)


def many(port: int, count: int, patches: int) -> list[httpx2.Response]:
    """Requests that all come at once."""
    found: list[httpx2.Response] = []
    body = write_request("x", {INPUT: np.repeat(PATCHES[:1], patches, axis=0)}, [OUTPUT])
    threads = [threading.Thread(target=lambda: found.append(ask(port, *body))) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return found


def test_requests_share_forward_passes() -> None:
    engine = StubEngine(pause=0.05)
    with served(engine, Limits(delay=0.1)) as port:
        answers = many(port, 12, 2)
    assert [answer.status_code for answer in answers] == [200] * 12
    assert sum(engine.passes) == 24
    assert len(engine.passes) <= 6  # one by one they were 12


def test_more_than_it_can_hold_is_sent_away_and_nothing_accepted_is_lost() -> None:
    engine = StubEngine(pause=0.2)
    with served(engine, Limits(body=4096, waiting=8192)) as port:
        answers = many(port, 16, 8)
    statuses = [answer.status_code for answer in answers]
    assert set(statuses) == {200, 429}
    assert all(answer.headers["retry-after"] == "1" for answer in answers if answer.status_code == 429)
    assert sum(engine.passes) == 8 * statuses.count(200)


def test_what_was_accepted_is_answered_before_it_stops() -> None:
    found: list[httpx2.Response] = []
    engine = StubEngine(pause=0.3)
    with served(engine) as port:
        thread = threading.Thread(target=lambda: found.extend(many(port, 1, 24)))
        thread.start()
        while not engine.passes:  # the first of three passes has begun, and the server is told to stop
            time.sleep(0.01)
    thread.join(30)
    assert [answer.status_code for answer in found] == [200]
    assert len(engine.passes) == 3


def test_a_token_is_asked_for() -> None:
    with served(token="a" * 20) as port:
        assert ask(port, *message()).status_code == 401
        assert ask(port, *message(), Authorization="Bearer " + "b" * 20).status_code == 401
        assert ask(port, *message(), Authorization="Bearer " + "a" * 20).status_code == 200
        assert httpx2.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).status_code == 401
        assert httpx2.get(f"http://127.0.0.1:{port}/v2/health/live", trust_env=False).status_code == 200


def test_plain_http_stays_on_this_machine() -> None:
    for host in ("0.0.0.0", "192.168.1.5", "::", "server.example"):
        with pytest.raises(OptionError, match="plain HTTP is for this machine alone"):
            Door(host=host).check()
    Door(host="::1").check()
    Door(host="0.0.0.0", plain_http=True).check()
    with pytest.raises(OptionError, match="a certificate and its key"):
        Door(certificate=__file__).check()  # type: ignore[arg-type]
