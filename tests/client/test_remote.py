"""The client on the wire: it repeats the same bytes, tells nothing of itself, and notices a server that lies."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="needs the extra 'serve'")

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from privaudit.client.connection import Address, Connection, ServerError
from privaudit.client.remote import RemoteServer
from privaudit.errors import OptionError, PrivauditError
from privaudit.wire.messages import BINARY_TYPE, LENGTH_HEADER, OUTPUT, Array, read_request
from privaudit.wire.writing import write_answer
from tests.serving.stub import StubEngine, served

PATCHES = np.random.default_rng(0).random((11, 4, 4, 4), dtype=np.float32)


class Watch:
    """Stands before the application, notes every request, and may answer for it."""

    def __init__(self, answer: Callable[[int, bytes, str], Response | None] = lambda n, body, length: None) -> None:
        self.seen: list[tuple[dict[str, str], bytes]] = []
        self._answer = answer

    def __call__(self, app: ASGIApp) -> ASGIApp:
        async def watching(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != "http" or scope["method"] != "POST":
                await app(scope, receive, send)
                return
            body, more = b"", True
            while more:
                message = await receive()
                body += message.get("body", b"")
                more = message.get("more_body", False)
            headers = {name.decode(): value.decode() for name, value in scope["headers"]}
            self.seen.append((headers, body))
            answer = self._answer(len(self.seen), body, headers[LENGTH_HEADER.lower()])
            if answer is not None:
                await answer(scope, receive, send)
                return
            given = iter([{"type": "http.request", "body": body}])

            async def again() -> Message:
                return next(given, None) or await receive()

            await app(scope, again, send)

        return watching


@contextmanager
def remote(port: int, patience: float = 5.0, **options: Any) -> Iterator[RemoteServer]:
    with Connection(Address(f"http://127.0.0.1:{port}", patience=patience)) as connection:
        yield RemoteServer(connection, 4, 3, **options)


def test_answers_are_the_servers_whatever_the_order_and_the_precision() -> None:
    truth = StubEngine().maps(PATCHES)
    watch = Watch()
    with served(around=watch) as port:
        with remote(port) as server:
            server.check()
            np.testing.assert_array_equal(server.ask(PATCHES), truth)
        with remote(port, shuffle=True) as server:
            np.testing.assert_array_equal(server.ask(PATCHES), truth)
        with remote(port, precision="float16") as server:
            np.testing.assert_allclose(server.ask(PATCHES), truth, atol=2e-3)
    sent = [read_request(body, headers[LENGTH_HEADER.lower()]).arrays["patches"][:, 0] for headers, body in watch.seen]
    np.testing.assert_array_equal(sent[0], PATCHES)
    assert not np.array_equal(sent[1], PATCHES)  # one order of eleven in forty million
    assert {p.tobytes() for p in sent[1]} == {p.tobytes() for p in PATCHES}
    assert sent[2].nbytes * 2 == sent[0].nbytes


def test_what_is_sent_beside_patches_tells_nothing() -> None:
    watch = Watch()
    with served(around=watch) as port, remote(port) as server:
        server.ask(PATCHES)
        server.ask(PATCHES)
    ids = []
    for headers, body in watch.seen:
        assert headers.keys() == {"host", "content-type", "content-length", LENGTH_HEADER.lower()}
        head = json.loads(body[: int(headers[LENGTH_HEADER.lower()])])
        assert head.keys() == {"id", "inputs", "outputs"}
        ids.append(head["id"])
        assert len(bytes.fromhex(head["id"])) == 16
    assert len(set(ids)) == 2


def test_a_request_is_repeated_with_the_same_bytes() -> None:
    watch = Watch(lambda n, body, length: JSONResponse({}, (429, 503, 0)[n - 1]) if n < 3 else None)
    with served(around=watch) as port, remote(port) as server:
        np.testing.assert_array_equal(server.ask(PATCHES), StubEngine().maps(PATCHES))
    assert len(watch.seen) == 3
    assert len({body for _, body in watch.seen}) == 1


def test_it_waits_for_a_server_that_comes_back() -> None:
    with served() as port:
        pass
    found: list[Array] = []

    def asking() -> None:
        with remote(port, patience=60) as server:
            found.append(server.ask(PATCHES))

    thread = threading.Thread(target=asking)
    thread.start()
    time.sleep(0.5)
    with served(port=port):
        thread.join(60)
    np.testing.assert_array_equal(found[0], StubEngine().maps(PATCHES))


def test_it_gives_up_with_one_line() -> None:
    with served() as port:
        pass
    with remote(port, patience=0.5) as server, pytest.raises(ServerError, match=r"did not answer for 0.5 s") as error:
        server.ask(PATCHES)
    assert "\n" not in str(error.value)


def lying(change: Callable[[Array], Array], name: str = OUTPUT, request: str | None = None) -> Watch:
    """A server that answers with something else than it should."""

    def answer(n: int, body: bytes, length: str) -> Response:
        sent = read_request(body, length)
        maps = change(StubEngine().maps(sent.arrays["patches"][:, 0]))
        content, header = write_answer("segmentation", "1", request or sent.head.id, {name: maps})
        return Response(content, media_type=BINARY_TYPE, headers={LENGTH_HEADER: str(header)})

    return Watch(answer)


def _poisoned(maps: Array) -> Array:
    maps[2, 1, 0, 0, 0] = np.nan
    return maps


@pytest.mark.parametrize(
    ("watch", "said"),
    [
        (lying(lambda maps: maps[:-1]), "maps of another shape"),
        (lying(lambda maps: maps[:, :2]), "maps of another shape"),
        (lying(lambda maps: maps.reshape(11, 3, 64)), "maps of another shape"),
        (lying(_poisoned), "not finite"),
        (lying(lambda maps: maps * 2), "no probabilities"),
        (lying(lambda maps: np.log(maps)), "no probabilities"),
        (lying(lambda maps: maps, name="keys"), "other tensors"),
        (lying(lambda maps: maps, request="another's"), "another request"),
        (Watch(lambda n, body, length: Response(b"<html>")), "no inference answer"),
        (Watch(lambda n, body, length: Response(b"{}", headers={LENGTH_HEADER: "x"})), "is no number"),
        (Watch(lambda n, body, length: JSONResponse({"error": "a\x1b[31m\nb"}, 400)), "HTTP 400"),
    ],
)  # fmt: skip
def test_a_server_that_lies_is_noticed(watch: Watch, said: str) -> None:
    with served(around=watch) as port, remote(port) as server, pytest.raises(PrivauditError, match=said) as error:
        server.ask(PATCHES)
    assert str(error.value).isprintable()


def test_a_server_for_something_else_is_noticed_before_anything_is_sent() -> None:
    watch = Watch()
    with served(around=watch) as port, Connection(Address(f"http://127.0.0.1:{port}")) as connection:
        with pytest.raises(ServerError, match="has other classes"):
            RemoteServer(connection, 4, 7).check()
        with pytest.raises(ServerError, match="refuses: HTTP 404"):
            RemoteServer(connection, 4, 3, model="other").check()
    assert not watch.seen


@pytest.mark.parametrize("url", ["ftp://x", "http://10.0.0.1:8000", "https://a:b@x", "https://x/path", "x:8000"])
def test_addresses_that_are_refused(url: str) -> None:
    with pytest.raises(OptionError):
        Address(url).check()
