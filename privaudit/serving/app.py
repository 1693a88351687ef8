"""The ASGI application: the Open Inference Protocol v2 over one network.

It can be run by any ASGI server; ``running.py`` runs it under uvicorn.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from privaudit.serving.batching import Batcher, Engine
from privaudit.serving.guard import TokenGuard
from privaudit.serving.limits import Limits
from privaudit.serving.metrics import Metrics
from privaudit.serving.openapi import description
from privaudit.serving.tensors import OUTPUTS, answer_of, patches_of, wanted_of
from privaudit.wire.messages import INPUT, LENGTH_HEADER, MODEL, WireError, read_request

VERSION: Final = "1"
RETRY_AFTER: Final = {"Retry-After": "1"}


class Service:
    """One network behind the protocol.

    Args:
        engine: the network.
        name: of the model.
        limits: what is accepted.
    """

    def __init__(self, engine: Engine, name: str = MODEL, limits: Limits | None = None) -> None:
        self.engine, self.name, self.limits = engine, name, limits or Limits()
        self.batcher: Batcher | None = None
        self.metrics = Metrics(lambda: 0 if self.batcher is None else self.batcher.patches_waiting)
        self._held = 0

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """Start computing, and at the end compute what was accepted."""
        self.batcher = Batcher(self.engine, self.limits.delay, self.metrics.passed)
        self.batcher.start()
        yield
        await self.batcher.close()
        self.batcher = None

    async def live(self, request: Request) -> Response:
        """Whether the process answers."""
        return JSONResponse({"live": True})

    async def ready(self, request: Request) -> Response:
        """Whether it can compute, and has this model, if one is asked for."""
        self._check_model(request)
        return JSONResponse({"ready": self.batcher is not None}, 200 if self.batcher is not None else 503)

    async def server(self, request: Request) -> Response:
        """Metadata of the server."""
        return JSONResponse({"name": "privaudit", "version": VERSION, "extensions": ["binary_tensor_data"]})

    async def model(self, request: Request) -> Response:
        """Metadata of the model: patches or whole volumes with one channel in, as many maps as classes out."""
        self._check_model(request)
        outputs = zip(OUTPUTS, ("FP32", "FP16"), strict=True)
        shape = [-1, self.engine.classes, -1, -1, -1]
        return JSONResponse(
            {
                "name": self.name, "versions": [VERSION], "platform": "pytorch",
                "inputs": [{"name": INPUT, "datatype": "FP32", "shape": [-1, 1, -1, -1, -1]}],
                "outputs": [{"name": name, "datatype": word, "shape": shape} for name, word in outputs],
            }
        )  # fmt: skip

    async def counted(self, request: Request) -> Response:
        """Metrics."""
        return Response(self.metrics.text(), media_type="text/plain; version=0.0.4")

    async def described(self, request: Request) -> Response:
        """OpenAPI description."""
        return JSONResponse(description(self.name, VERSION))

    async def infer(self, request: Request) -> Response:
        """Segment what was sent."""
        started = time.perf_counter()
        try:
            response = await self._infer(request)
        except HTTPException as error:
            self.metrics.answers.labels(str(error.status_code)).inc()
            raise
        self.metrics.answers.labels(str(response.status_code)).inc()
        self.metrics.seconds.observe(time.perf_counter() - started)
        return response

    async def _infer(self, request: Request) -> Response:
        self._check_model(request)
        length = self._announced(request)
        if self._held + length > self.limits.waiting:
            raise HTTPException(429, "the server is busy; come again in a second", RETRY_AFTER)
        self._held += length
        try:
            body = await self._body(request, length)
            try:
                sent = read_request(body, request.headers.get(LENGTH_HEADER), self.limits.header)
                patches, wanted = patches_of(sent, self.engine.size, self.limits), wanted_of(sent)
            except WireError as error:
                raise HTTPException(400, str(error)) from None
            maps = await self._compute(request, patches)
            return answer_of(sent, maps, wanted, self.name, VERSION)
        finally:
            self._held -= length

    def _check_model(self, request: Request) -> None:
        given = request.path_params
        if given.get("name", self.name) != self.name or given.get("version", VERSION) != VERSION:
            raise HTTPException(404, f"there is no such model here; there is '{self.name}', version {VERSION}")

    def _announced(self, request: Request) -> int:
        """How long the body is said to be."""
        if request.headers.get("content-encoding", "identity") != "identity":
            raise HTTPException(415, "bodies are taken as they are; leave out Content-Encoding")
        length = request.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit()):
            raise HTTPException(411, "say how long the body is: Content-Length")
        if len(length) > 15 or int(length) > self.limits.body:
            raise HTTPException(413, f"the body is too long; at most {self.limits.body} bytes")
        return int(length)

    async def _body(self, request: Request, length: int) -> bytes:
        parts, got = [], 0
        try:
            async with asyncio.timeout(self.limits.receive):
                async for part in request.stream():
                    parts.append(part)
                    got += len(part)
                    if got > length:
                        raise HTTPException(400, "the body is longer than it was said to be")
        except TimeoutError:
            raise HTTPException(408, "the body came too slowly", {"Connection": "close"}) from None
        except ClientDisconnect:
            raise HTTPException(400, "the connection was closed before the body had arrived") from None
        return b"".join(parts)

    async def _compute(self, request: Request, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Maps [N, C, *patch]; nothing more is computed for who has gone."""
        assert self.batcher is not None
        work = asyncio.create_task(self.batcher.submit(patches))
        gone = asyncio.create_task(_left(request))
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            work.cancel()
            raise HTTPException(400, "the connection was closed before the answer")
        gone.cancel()
        try:
            return work.result()
        except Exception:  # not passed on: its text, and the log, could tell of what was sent
            raise HTTPException(500, "the server could not compute this") from None


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def make_app(service: Service, token: str | None = None) -> ASGIApp:
    """The application around a service.

    Args:
        service: the network and its limits.
        token: that clients must send; None for none.
    """
    models = ("/v2/models/{name}", "/v2/models/{name}/versions/{version}")
    routes: list[tuple[str, Callable[[Request], Awaitable[Response]], str]] = [
        ("/v2", service.server, "GET"),
        ("/v2/health/live", service.live, "GET"),
        ("/v2/health/ready", service.ready, "GET"),
        ("/metrics", service.counted, "GET"),
        ("/openapi.json", service.described, "GET"),
        *((path, service.model, "GET") for path in models),
        *((f"{path}/ready", service.ready, "GET") for path in models),
        *((f"{path}/infer", service.infer, "POST") for path in models),
    ]
    app = Starlette(
        routes=[Route(path, endpoint, methods=[method]) for path, endpoint, method in routes],
        lifespan=service.lifespan,
        exception_handlers={HTTPException: _refused, Exception: _failed},
    )
    app.router.redirect_slashes = False
    return app if token is None else TokenGuard(app, token)


async def _refused(request: Request, error: Any) -> Response:
    return JSONResponse({"error": " ".join(str(error.detail).split())}, error.status_code, error.headers)


async def _failed(request: Request, error: Exception) -> Response:
    return JSONResponse({"error": "the server could not compute this"}, 500)
