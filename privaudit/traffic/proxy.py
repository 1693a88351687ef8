"""A recording proxy: it stands before the server and writes down what passes, byte for byte.

It is no part of the client and no part of the server. It records what reached it before it passes it on.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Final

import httpx2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from privaudit.traffic.flows import Flow

HOP: Final = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-connection"}
)
"""Headers that concern one connection alone (RFC 9110, 7.6.1)."""


class Recorder:
    """The proxy's application, and what it has seen.

    Args:
        upstream: address of the server.
        context: TLS towards it, or None for the system's.
        longest: bytes of a body that it passes on; more is refused.

    Attributes:
        flows: what has passed, in the order in which it came.
    """

    def __init__(self, upstream: str, context: object = None, longest: int = 2**30) -> None:
        self.flows: list[Flow] = []
        self._upstream, self._context, self._longest = upstream.rstrip("/"), context, longest
        self._connections: dict[tuple[str, int], str] = {}
        self._numbers = itertools.count(1)
        self._http: httpx2.AsyncClient | None = None

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        verify = self._context if self._context is not None else True
        async with httpx2.AsyncClient(verify=verify, trust_env=False, timeout=600) as self._http:  # type: ignore[arg-type]
            self._http.headers.clear()
            yield

    def app(self) -> Starlette:
        """The ASGI application."""
        # An object, not a function: then every method is passed on and recorded, also one that nobody knows.
        return Starlette(routes=[Route("/{path:path}", self)], lifespan=self._lifespan)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass one request on, and record it and its answer."""
        response = await self._pass(Request(scope, receive))
        await response(scope, receive, send)

    async def _pass(self, request: Request) -> Response:
        assert self._http is not None
        started, body = time.time(), await request.body()
        headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers.raw)
        target = request.scope["raw_path"].decode("latin-1")
        if request.scope["query_string"]:
            target += "?" + request.scope["query_string"].decode("latin-1")
        place = len(self.flows)
        flow = Flow(self._connection(request), started, request.method, target, headers, body)
        self.flows.append(flow)
        if len(body) > self._longest:
            return Response("the recording proxy passes no body of this size on", 413)
        onward = [(name, value) for name, value in headers if name.lower() not in HOP | {"host"}]
        try:
            answer = await self._http.request(
                request.method, self._upstream + target, content=body or None, headers=onward
            )
        except httpx2.TransportError:
            return Response("the recording proxy cannot reach the server", 502)
        kept = [(name, value) for name, value in answer.headers.multi_items() if name.lower() not in HOP]
        self.flows[place] = replace(flow, status=answer.status_code, answer_headers=tuple(kept), answer=answer.content)
        response = Response(answer.content, answer.status_code)
        response.raw_headers = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in kept]
        return response

    def _connection(self, request: Request) -> str:
        """A name for the client's end of the connection: a number, in the order in which they came."""
        assert request.client is not None
        peer = (request.client.host, request.client.port)
        if peer not in self._connections:
            self._connections[peer] = str(next(self._numbers))
        return self._connections[peer]
