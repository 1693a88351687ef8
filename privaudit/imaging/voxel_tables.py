"""Tables of grey values, one for each number that is sent: any function of one voxel, told by images of one grey."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privaudit.imaging.probing import Floats, Send, positions

LEVELS: Final = 512
"""Grey values that are tried."""
MOST_NUMBERS: Final = 2**26
"""That tables may hold; with more voxels fewer grey values are tried."""
CHUNK: Final = 4096
"""Voxels that are looked up at once."""
CANDIDATES: Final = 9
"""Grey values of which two are chosen to tell voxels by."""


@dataclass(frozen=True, eq=False)
class Tables:
    """What is sent of each grey value, number by number.

    Attributes:
        where: flat index of the voxel behind each number, int64 [m]; -1 where it is none or several.
        levels: grey values, rising from 0 to 1, [K].
        sent: what is sent of them, float32 [K, m].
    """

    where: NDArray[np.int64]
    levels: Floats
    sent: NDArray[np.float32]

    @classmethod
    def fit(cls, send: Send, shape: tuple[int, ...], size: int, advance: Callable[[float], None]) -> Tables:
        """Fit them with images of one grey value.

        Args:
            send: the encoder.
            shape: of images.
            size: how many numbers are sent.
            advance: called with shares of the work.
        """
        levels = np.linspace(0, 1, max(2, min(LEVELS, MOST_NUMBERS // max(size, 1))))
        sent = np.empty((len(levels), size), dtype=np.float32)
        for row, level in enumerate(levels):
            sent[row] = send(np.full(shape, level))
            advance(1 / len(levels))
        low, high = _apart(sent)
        where, _ = positions(send, np.full(shape, levels[low]), np.full(shape, levels[high]))
        return cls(where, levels, sent)

    def nearest(self, image: Floats) -> Floats:
        """The image [X, Y, Z] in grey values for which there are entries."""
        return np.asarray(self.levels[np.rint(image.clip(0, 1) * (len(self.levels) - 1)).astype(np.int64)])

    def of(self, image: Floats) -> Floats:
        """What is sent of an image [X, Y, Z], read at the nearest grey values, [m]; 0 where there is no table."""
        row = np.rint(image.ravel()[self.where] * (len(self.levels) - 1)).astype(np.int64)
        return np.where(self.where < 0, 0.0, self.sent[row, np.arange(len(self.where))].astype(np.float64))

    @cached_property
    def _one_each(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Voxels that have a table, and the first number of each."""
        places, numbers = np.unique(self.where, return_index=True)
        known = places >= 0
        return places[known], numbers[known]

    def back(self, sent: Floats, mean: Floats, variance: Floats) -> Floats:
        """The posterior mean of every voxel behind what was sent, [X, Y, Z]; the prior's where there is no table.

        A table is told where it jumps, and smooth between the grey values that were tried.

        Args:
            sent: all numbers, [m].
            mean: of the prior, [X, Y, Z].
            variance: of it.
        """
        image, levels = mean.ravel().copy(), self.levels.astype(np.float32)
        prior, spread = mean.ravel().astype(np.float32), variance.ravel().astype(np.float32)
        places, numbers = self._one_each
        for start in range(0, len(places), CHUNK):
            place, number = places[start : start + CHUNK], numbers[start : start + CHUNK]
            table = self.sent[:, number]
            steps = np.abs(np.diff(table, axis=0))
            # Where a table jumps on one side only, the grey value belongs to the other.
            width = np.minimum(np.vstack([steps[:1], steps]), np.vstack([steps, steps[-1:]]))
            width = np.maximum(width, np.float32(1e-5) * np.ptp(table, axis=0) + np.float32(1e-12))
            odds = np.square((table - sent[number].astype(np.float32)) / width)
            odds += np.square(levels[:, None] - prior[place]) / spread[place]
            weight = np.exp(-0.5 * (odds - odds.min(axis=0)))
            image[place] = (levels @ weight) / weight.sum(axis=0)
        return image.reshape(mean.shape)


def _apart(sent: NDArray[np.float32]) -> tuple[int, int]:
    """Two grey values that most numbers tell apart."""
    rows = np.unique(np.linspace(0, len(sent) - 1, CANDIDATES).astype(int))
    least = 1e-5 * float(np.ptp(sent)) if sent.size else 0.0
    pairs = [(a, b) for a in rows for b in rows if a < b]
    best = max(pairs, key=lambda pair: int((np.abs(sent[pair[0]] - sent[pair[1]]) > least).sum()))
    return int(best[0]), int(best[1])
