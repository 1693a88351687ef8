"""Cost of sending patches to a server instead of calling the network, as ratios in one run.

Run with ``python -m benchmarks serving``: a server on this machine, random weights, loopback alone. Client, server and
network share the cores, so that what the wire costs shows in full.

Expected before the first measurement: a patch of 32³ takes some 60 ms of a core in the network, and its 0.13 MB there
and 0.5 MB back some 1 ms on loopback. So everything should stay within a few per cent, and the server's padding of the
last pass of a request costs more than the wire: 36 patches are computed as 40 where no other request fills the rest.
"""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Iterator
from functools import partial
from math import nan
from typing import Any

import numpy as np
import torch

from benchmarks.msssim_bench import Row, in_turns, timed
from privaudit.client.connection import Address, Connection
from privaudit.client.remote import Precision, RemoteServer
from privaudit.segmentation.server import Server
from privaudit.segmentation.server_net import SegmentationNet
from privaudit.serving.app import Service, make_app
from privaudit.serving.engine import EngineConfig, NetworkEngine
from privaudit.serving.limits import Limits
from privaudit.serving.running import Door, uvicorn_config
from privaudit.wire.hosting import hosted

PATCH, CLASSES = 32, 4
CPU = torch.device("cpu")


class Idle:
    """An engine that takes no time: what is left is the wire."""

    batch, size, classes = 8, PATCH, CLASSES

    def maps(self, patches: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return np.full((len(patches), CLASSES, *patches.shape[1:]), 1 / CLASSES, np.float32)


@contextlib.contextmanager
def connected(engine: Any, precision: Precision = "float32") -> Iterator[tuple[RemoteServer, Connection, int]]:
    """A server with an engine, and a client of it."""
    limits = Limits()
    config = uvicorn_config(make_app(Service(engine, limits=limits)), Door(port=0), limits)
    with hosted(config) as port, Connection(Address(f"http://127.0.0.1:{port}")) as connection:
        yield RemoteServer(connection, PATCH, CLASSES, precision=precision), connection, port


def run(quick: bool = False) -> list[Row]:
    """Time everything."""
    torch.manual_seed(0)
    with torch.random.fork_rng():
        network = SegmentationNet("tiny", CLASSES).requires_grad_(False)
    config = EngineConfig.model_validate({"network": {"size": "tiny", "classes": CLASSES}, "patch_size": PATCH})
    bare, engine = Server(network, PATCH, CPU), NetworkEngine(network, config, CPU)
    volume = torch.rand((16 if quick else 150, PATCH, PATCH, PATCH))
    repeats = 1 if quick else 3
    return [*network_rows(bare, engine, volume, repeats), *wire_rows(repeats), *bytes_rows(len(volume))]


def network_rows(bare: Server, engine: NetworkEngine, volume: torch.Tensor, repeats: int) -> list[Row]:
    """One client after the other against the bare network, and four at a time."""
    hundred = volume[:100]
    with connected(engine) as (remote, _, port):
        here, there = in_turns(repeats, lambda: bare.respond(hundred), lambda: remote.respond(hundred))
        whole, far = in_turns(repeats, lambda: bare.respond(volume), lambda: remote.respond(volume))
        loaded, seconds = under_load(port, volume[:8], clients=4, each=2 if len(volume) < 100 else 8)
        alone = timed(lambda: [bare.respond(volume[:8]) for _ in seconds])
    p50, p99 = statistics.median(seconds), max(seconds) if len(seconds) < 100 else np.quantile(seconds, 0.99)
    note = f"{len(seconds)} requests of 8 patches by 4 clients at a time: p50 {p50:.2f} s, p99 {p99:.2f} s a request"
    return [
        Row(f"{len(hundred)} patches by loopback, against the bare network", there, here, there / here, 1.1, ""),
        Row(f"a volume of {len(volume)} patches by loopback, against one process", far, whole, far / whole, 1.1, ""),
        Row("throughput under load, as time for the same patches", loaded, alone, loaded / alone, 1 / 0.9, note),
    ]  # fmt: skip


def under_load(port: int, patches: torch.Tensor, clients: int, each: int) -> tuple[float, list[float]]:
    """Seconds that all take, and seconds of each request, of clients that ask without a pause."""
    seconds: list[float] = []

    def asking() -> None:
        with Connection(Address(f"http://127.0.0.1:{port}")) as connection:
            remote = RemoteServer(connection, PATCH, CLASSES)
            for _ in range(each):
                seconds.append(timed(lambda: remote.respond(patches)))

    threads = [threading.Thread(target=asking) for _ in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began, seconds


def wire_rows(repeats: int) -> list[Row]:
    """Ten and a hundred patches to a server that computes nothing."""
    rows = []
    with connected(Idle()) as (remote, _, _):
        for count in (10, 100):
            patches = np.random.default_rng(0).random((count, PATCH, PATCH, PATCH), dtype=np.float32)
            (seconds,) = in_turns(5 * repeats, partial(remote.ask, patches))
            rows.append(Row(f"the wire, {count} patches", seconds, nan, nan, nan, "a server that computes nothing"))
    return rows


def bytes_rows(patches: int) -> list[Row]:
    """What is sent and returned for a volume, by number of views and precision."""
    rows = []
    for precision in ("float32", "float16"):
        with connected(Idle(), precision) as (remote, connection, _):
            remote.ask(np.zeros((patches, PATCH, PATCH, PATCH), np.float32))
            up, down = connection.sent / 1e6, connection.received / 1e6
        note = f"MB sent and returned for {patches} patches; ten views: {10 * up:.0f} and {10 * down:.0f}"
        rows.append(Row(f"{precision} on the wire: {up:.1f} MB there, {down:.1f} MB back", nan, nan, nan, nan, note))
    return rows
