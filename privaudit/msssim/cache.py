"""Moments of a cohort's volumes at every level, within a stated number of bytes.

Levels are given room from the coarsest: a level that fits holds every volume, one that does not keeps the most recently
used ones and computes the others again from the source. So results never depend on the budget, only time does.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import torch
from torch import Tensor

from privaudit.errors import DataError, OptionError
from privaudit.msssim.kernels import Shape, ring_elements, valid_shape
from privaudit.msssim.level import Moments, halve, write_moments
from privaudit.msssim.profile import Profile

DEFAULT_MEMORY: Final = 2 * 2**30
"""Bytes that a retrieval may hold unless told otherwise."""

TILE_VOXELS: Final = 2**18
MAX_TILE: Final = 64


def tile_width(shape: Shape) -> int:
    """Return how many gallery volumes of a level are compared at once: a power of two, 1 for large volumes.

    As each level's width divides that of every coarser level, a coarser tile always covers a finer one.
    """
    return int(min(MAX_TILE, 2 ** max(0, int(math.log2(TILE_VOXELS / math.prod(shape))))))


def capacities(n: int, shape: Shape, profile: Profile, memory_bytes: int) -> list[int]:
    """Return how many volumes each level holds, finest first: ``n``, or fewer but at least 2 (or ``n``, if smaller).

    Raises:
        OptionError: not even the least fits ``memory_bytes``.
    """
    sizes = [_entry_bytes(level, profile.window) for level in profile.level_shapes(shape)]
    least = min(n, 2)
    left = memory_bytes - _overhead(n, shape, profile) - least * sum(sizes)
    if left < 0:
        raise OptionError(
            f"memory_bytes is too small for volumes of shape {tuple(shape)}",
            got=memory_bytes,
            allowed=f"at least {memory_bytes - left}",
        )
    held = []
    for level, size in reversed(list(enumerate(sizes))):
        fits = left >= (n - least) * size
        more = n - least if fits else left // size if level == 0 else left // (2 * size)
        left -= more * size
        held.append(least + more)
    return held[::-1]


def memory_plan(n: int, shape: Shape, profile: Profile, memory_bytes: int = DEFAULT_MEMORY) -> dict[str, int]:
    """Return the bytes that a retrieval over ``n`` volumes of ``shape`` will hold at most, by purpose.

    Args:
        n: volumes in all: the scans of a self-retrieval, or queries plus gallery.
        shape: sides in voxels.
        profile: scales and window.
        memory_bytes: the budget.

    Returns:
        ``level 0`` (finest) and on, the cached moments; ``buffers``, of the threads; ``bounds``, the matrix of
        bounds (for n x n pairs); ``loading``, one volume while its pyramid is built; ``total``, their sum. Python and
        torch themselves, and what the source keeps, come on top.

    Raises:
        OptionError: the budget is too small, or the profile does not fit the shape.
    """
    profile.require(shape)
    held = capacities(n, shape, profile, memory_bytes)
    sizes = [_entry_bytes(level, profile.window) for level in profile.level_shapes(shape)]
    plan = {f"level {level}": held[level] * size for level, size in enumerate(sizes)}
    plan |= {"buffers": _buffer_bytes(shape, profile), "bounds": 9 * n * n, "loading": _loading_bytes(shape)}
    return {**plan, "total": sum(plan.values())}


@dataclass
class _Level:
    """The room of one level: ``Moments`` of ``capacity`` volumes, and which volume lies in which slot."""

    room: Moments
    capacity: int
    slots: OrderedDict[int, int] = field(default_factory=OrderedDict)

    def claim(self, index: int, everyone: bool) -> Moments:
        """Return the slot in which to write volume ``index``: its own if all fit, else the one least recently used."""
        if everyone:
            slot = index
        elif len(self.slots) < self.capacity:
            slot = len(self.slots)
        else:
            slot = self.slots.popitem(last=False)[1]
        self.slots[index] = slot
        return self.view(slot, slot + 1)

    def view(self, start: int, stop: int) -> Moments:
        """Return the moments in a range of slots, not copied."""
        return Moments(*(part[start:stop] for part in self.room))


class PyramidCache:
    """Moments by level and volume, loaded from ``load`` when first asked for; for one thread.

    Args:
        load: returns volume ``index`` as ``[X, Y, Z]``.
        n: how many volumes there are.
        shape: of every volume.
        profile: scales and window.
        memory_bytes: the most to hold, as ``memory_plan`` counts.

    Raises:
        OptionError: ``memory_bytes`` is too small, or the profile does not fit the shape.
    """

    def __init__(
        self, load: Callable[[int], Tensor], n: int, shape: Shape, profile: Profile, memory_bytes: int
    ) -> None:
        profile.require(shape)
        self._load, self._n, self._shape, self._profile = load, n, shape, profile
        self.loads = 0
        self._levels = []
        held = capacities(n, shape, profile, memory_bytes)
        for level_shape, capacity in zip(profile.level_shapes(shape), held, strict=True):
            self._levels.append(_Level(Moments.empty(capacity, level_shape, profile.window), capacity))

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors held (the system gives room to a part only once it is first written)."""
        return sum(part.nbytes for level in self._levels for part in level.room)

    def one(self, level: int, index: int) -> Moments:
        """Return the moments of one volume, N = 1; good until two other volumes of the level have been asked for."""
        here = self._levels[level]
        if index not in here.slots:
            self._fill(level, index)
        here.slots.move_to_end(index)
        slot = here.slots[index]
        return here.view(slot, slot + 1)

    def many(self, level: int, indices: range) -> Moments:
        """Return the moments of consecutive volumes; a copy where the level does not hold every volume."""
        here = self._levels[level]
        if here.capacity < self._n and len(indices) > 1:
            copies = [Moments(*(part.clone() for part in self.one(level, index))) for index in indices]
            return Moments(*(torch.cat(parts) for parts in zip(*copies, strict=True)))
        for index in indices:
            if here.capacity < self._n or index not in here.slots:
                self.one(level, index)
        slot = here.slots[indices.start]
        return here.view(slot, slot + len(indices))

    def _fill(self, wanted: int, index: int) -> None:
        """Load a volume and write its moments at ``wanted`` and at every level that holds all volumes."""
        image = self._checked(index)
        self.loads += 1
        for number, level in enumerate(self._levels):
            if number:
                image = halve(image)
            everyone = level.capacity == self._n
            if number == wanted or (everyone and index not in level.slots):
                write_moments(image, self._profile, into=level.claim(index, everyone))

    def _checked(self, index: int) -> Tensor:
        """Return volume ``index`` as ``[1, X, Y, Z]`` float32, or raise ``DataError``."""
        volume = self._load(index)
        if tuple(volume.shape) != self._shape:
            raise DataError(
                f"volume {index} has another shape than the first", got=tuple(volume.shape), allowed=self._shape
            )
        image = volume.detach().to("cpu", torch.float32)[None]
        if not math.isfinite(float(image.sum())):
            raise DataError(f"volume {index} holds values that are not finite", todo="mend or leave out the scan")
        return image


def _entry_bytes(level_shape: Shape, window: int) -> int:
    """Bytes of one volume's float32 moments at a level."""
    return 4 * (math.prod(level_shape) + 2 * math.prod(valid_shape(level_shape, window)))


def _buffer_bytes(shape: Shape, profile: Profile) -> int:
    return 4 * torch.get_num_threads() * ring_elements(shape, profile.window)


def _loading_bytes(shape: Sequence[int]) -> int:
    """The volume as loaded, a float32 copy of it, and the halves that pooling passes through."""
    return 12 * math.prod(shape)


def _overhead(n: int, shape: Shape, profile: Profile) -> int:
    return _buffer_bytes(shape, profile) + 9 * n * n + _loading_bytes(shape)
