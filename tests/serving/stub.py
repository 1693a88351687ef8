"""A server with an engine that needs no torch: what a patch gets follows from its values alone."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from privaudit.serving.app import Service, make_app
from privaudit.serving.limits import Limits
from privaudit.serving.running import Door, uvicorn_config
from privaudit.wire.hosting import hosted
from privaudit.wire.messages import Array


class StubEngine:
    """Three classes; the maps are a softmax of multiples of the image."""

    batch, size, classes = 8, 4, 3

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause
        self.passes: list[int] = []

    def maps(self, patches: Array) -> Array:
        self.passes.append(len(patches))
        time.sleep(self.pause)
        logits = np.stack([patches, 1 - patches, 2 * patches - 1], axis=1)
        powers = np.exp(logits)
        maps: Array = powers / powers.sum(axis=1, keepdims=True)
        return maps.astype(np.float32)


@contextlib.contextmanager
def served(
    engine: Any = None, limits: Limits | None = None, door: Door | None = None, token: str | None = None,
    around: Callable[[Any], Any] = lambda app: app, port: int = 0,
) -> Iterator[int]:  # fmt: skip
    """Run the application in a thread; yields its port. ``around`` wraps it."""
    service = Service(engine or StubEngine(), limits=limits or Limits())
    config = uvicorn_config(around(make_app(service, token)), door or Door(port=0), service.limits)
    with hosted(config, port) as found:
        yield found
