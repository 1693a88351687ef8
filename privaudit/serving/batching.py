"""Joining patches of several requests into forward passes, in the order in which they came."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class Engine(Protocol):
    """What computes maps.

    Attributes:
        batch: patches per forward pass.
        size: side of the patches.
        classes: number of labels.
    """

    batch: int
    size: int
    classes: int

    def maps(self, patches: Floats) -> Floats:
        """Maps of probabilities [N, C, *patch] of patches [N, *patch]."""


@dataclass(eq=False)
class _Work:
    """One request's patches [N, *patch], how many are begun, what has come back, and who waits for it."""

    patches: Floats
    answer: asyncio.Future[Floats]
    begun: int = 0
    maps: Floats | None = None
    done: int = 0


class Batcher:
    """Runs an engine, one forward pass at a time, on whatever waits.

    What was submitted is answered, unless its waiter is cancelled. How much may wait is the caller's to bound.

    Args:
        engine: what computes.
        delay: seconds that a forward pass waits to be filled while nothing else is computed.
        observe: called after each forward pass with its patches and seconds.
    """

    def __init__(self, engine: Engine, delay: float, observe: Callable[[int, float], None] = lambda n, s: None) -> None:
        self._engine, self._delay, self._observe = engine, delay, observe
        self._waiting: deque[_Work] = deque()
        self._arrived = asyncio.Event()
        self._thread = ThreadPoolExecutor(1, "engine")
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; call it in a running loop."""
        self._loop = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Compute what waits, and stop."""
        while self._waiting:
            await asyncio.sleep(0.005)
        if self._loop is not None:
            self._loop.cancel()
            await asyncio.gather(self._loop, return_exceptions=True)
        self._thread.shutdown()

    async def submit(self, patches: Floats) -> Floats:
        """Maps [N, C, *patch] of patches [N, *patch], N at least 1, all of one size."""
        work = _Work(patches, asyncio.get_running_loop().create_future())
        self._waiting.append(work)
        self._arrived.set()
        try:
            return await work.answer
        finally:
            if work in self._waiting:  # nobody waits for it any more
                self._waiting.remove(work)

    @property
    def patches_waiting(self) -> int:
        """How many patches are not yet answered."""
        return sum(len(work.patches) - work.done for work in self._waiting)

    async def _run(self) -> None:
        while True:
            self._arrived.clear()
            if not self._waiting:
                await self._arrived.wait()
            await self._fill()
            pieces = self._pieces()
            if pieces:
                await self._pass(pieces)

    async def _fill(self) -> None:
        """Wait a little for a full pass; patches of another size than the network's never share one."""
        until = time.monotonic() + self._delay
        while self.patches_waiting < self._engine.batch and (left := until - time.monotonic()) > 0:
            self._arrived.clear()
            try:
                await asyncio.wait_for(self._arrived.wait(), left)
            except TimeoutError:
                return

    def _pieces(self) -> list[tuple[_Work, slice]]:
        """What goes into the next pass: as many patches of one size as it takes, first come first."""
        pieces: list[tuple[_Work, slice]] = []
        room = self._engine.batch
        for work in self._waiting:
            same = not pieces or work.patches.shape[1:] == pieces[0][0].patches.shape[1:]
            if room and same:
                taken = slice(work.begun, min(len(work.patches), work.begun + room))
                work.begun = taken.stop
                room -= taken.stop - taken.start
                pieces.append((work, taken))
        return pieces

    async def _pass(self, pieces: list[tuple[_Work, slice]]) -> None:
        joined = np.concatenate([work.patches[part] for work, part in pieces])
        started = time.perf_counter()
        try:
            maps = await asyncio.get_running_loop().run_in_executor(self._thread, self._engine.maps, joined)
        except Exception as error:
            for work, _ in pieces:
                self._finish(work, error)
            return
        self._observe(len(joined), time.perf_counter() - started)
        place = 0
        for work, part in pieces:
            count = part.stop - part.start
            if work.maps is None:
                work.maps = np.empty((len(work.patches), *maps.shape[1:]), np.float32)
            work.maps[part] = maps[place : place + count]
            place += count
            work.done = part.stop
            if work.done == len(work.patches):
                self._finish(work, work.maps)

    def _finish(self, work: _Work, result: Floats | Exception) -> None:
        if work in self._waiting:
            self._waiting.remove(work)
        if work.answer.done():
            return
        if isinstance(result, Exception):
            work.answer.set_exception(result)
        else:
            work.answer.set_result(result)
