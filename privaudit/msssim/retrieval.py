"""Full-volume MS-SSIM as a similarity between queries and gallery that is computed only as far as it is needed.

Each level's term lies in [0, 1], so the product of the coarse levels' terms bounds the similarity from above. The
coarsest level has a 4096th of the voxels, and most pairs are ruled out before the finest is ever computed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from privaudit.errors import OptionError
from privaudit.msssim.cache import DEFAULT_MEMORY, PyramidCache, tile_width
from privaudit.msssim.level import compare_moments
from privaudit.msssim.profile import Profile, profile_for

SLACK = 1e-6
"""Relative margin on every bound, so that round-off never prunes a true competitor."""

CHEAP_WIDTH = 8
"""Levels but the finest of which so many volumes are compared at once are computed for a whole row before pruning."""

Floats = NDArray[np.float64]


class Volumes(Protocol):
    """Volumes ``[X, Y, Z]`` of one shape, or callables that load one, by index."""

    def __len__(self) -> int:
        """How many volumes there are."""
        ...

    def __getitem__(self, index: int, /) -> Tensor | Callable[[], Tensor]:
        """Return volume ``index``, finite and within [0, data_range], or what loads it."""
        ...


class MsssimSimilarity:
    """MS-SSIM between every query and every gallery volume, refined lazily from coarse to fine.

    A value is computed once and kept, always from the same operands in the same grouping, so it is the same to the
    last bit whatever was asked before, and symmetric in self-retrieval. One thread at a time may use an object.

    Args:
        queries: the query volumes, loaded one at a time and perhaps repeatedly.
        gallery: the gallery volumes; None retrieves among the queries, where each pair is computed once and the
            diagonal is minus infinity.
        profile: scales and window; None takes ``profile_for`` the first volume's shape.
        memory_bytes: the most to hold, as ``memory_plan`` counts.

    Raises:
        OptionError: there are no volumes, none fits the profile, or ``memory_bytes`` is too small.
        DataError: (from any method) a volume has another shape, or values that are not finite.
    """

    def __init__(
        self,
        queries: Volumes,
        gallery: Volumes | None = None,
        *,
        profile: Profile | None = None,
        memory_bytes: int = DEFAULT_MEMORY,
    ) -> None:
        self.symmetric = gallery is None
        self.n_queries = len(queries)
        self.n_gallery = self.n_queries if gallery is None else len(gallery)
        if not self.n_queries or not self.n_gallery:
            raise OptionError("a similarity needs volumes", got=f"{self.n_queries} queries, {self.n_gallery} gallery")
        self._queries, self._gallery = queries, queries if gallery is None else gallery
        self._first = 0 if gallery is None else self.n_queries
        shape = self._load(0).shape
        self.profile = profile if profile is not None else profile_for(shape)
        self.profile.require(shape)
        sides = (shape[0], shape[1], shape[2])
        n = self._first + self.n_gallery
        self.cache = PyramidCache(self._load, n, sides, self.profile, memory_bytes)
        self._widths = [tile_width(level) for level in self.profile.level_shapes(sides)]
        self._cheap = max(1, sum(width >= CHEAP_WIDTH for width in self._widths[1:]))
        self._value = np.ones((self.n_queries, self.n_gallery))
        self._depth = np.zeros((self.n_queries, self.n_gallery), dtype=np.uint8)
        if self.symmetric:
            np.fill_diagonal(self._value, -np.inf)
            np.fill_diagonal(self._depth, self.profile.levels)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors and arrays held."""
        return self.cache.nbytes + self._value.nbytes + self._depth.nbytes

    @property
    def pairs(self) -> int:
        """How many pairs there are; in self-retrieval each unordered pair counts once."""
        n = self.n_queries
        return n * (n - 1) // 2 if self.symmetric else n * self.n_gallery

    @property
    def computed(self) -> list[int]:
        """How many pairs have been computed at each level, finest first."""
        double, diagonal = (2, self.n_queries) if self.symmetric else (1, 0)
        levels = range(self.profile.levels)
        return [(int((self._depth >= self.profile.levels - n).sum()) - diagonal) // double for n in levels]

    @property
    def known_fraction(self) -> float:
        """The part of the pairs that were computed down to the finest level, 0 to 1."""
        return self.computed[0] / max(1, self.pairs)

    def upper(self, i: int) -> Floats:
        """Return ``[n_gallery]`` upper bounds on the similarities of query ``i``, exact where already known.

        Computes the cheap coarse levels of the row if that has not been done.
        """
        everyone = np.arange(self.n_gallery)
        for j in everyone[self._depth[i] < self._cheap].tolist():
            while self._depth[i, j] < self._cheap:
                self._deepen(i, j)
        return self._bounds(i, everyone)

    def refine(self, i: int, js: ArrayLike, threshold: float) -> Floats:
        """Return bounds for query ``i`` and gallery ``js``: exact wherever not below ``threshold``.

        Each pair is refined level by level, and no further once its bound is strictly below ``threshold``.
        """
        indices = np.asarray(js, dtype=np.intp)
        for j in indices.tolist():
            while self._depth[i, j] < self.profile.levels and self._value[i, j] * (1 + SLACK) >= threshold:
                self._deepen(i, j)
        return self._bounds(i, indices)

    def exact(self, i: int, js: ArrayLike) -> Floats:
        """Return the similarities of query ``i`` and gallery ``js``; minus infinity on a self-retrieval's diagonal."""
        return self.refine(i, js, -np.inf)

    def _bounds(self, i: int, js: NDArray[np.intp]) -> Floats:
        value: Floats = self._value[i, js]
        return np.where(self._depth[i, js] == self.profile.levels, value, value * (1 + SLACK))

    @torch.no_grad()
    def _deepen(self, i: int, j: int) -> None:
        """Multiply in the next level's term for a pair, and for the other pairs of its tile.

        Tiles are runs of the gallery. In self-retrieval the pair belongs to the lower index's row, and what a tile
        holds at or left of that row's diagonal is dropped.
        """
        if self.symmetric and j < i:
            i, j = j, i
        level = self.profile.levels - 1 - int(self._depth[i, j])
        width = self._widths[level]
        start = j - j % width
        stop = min(start + width, self.n_gallery)
        many = self.cache.many(level, range(self._first + start, self._first + stop))
        one = self.cache.one(level, i)
        last = level == self.profile.levels - 1
        terms = compare_moments(one, many, self.profile, last=last).numpy()
        kept = slice(max(start, i + 1) if self.symmetric else start, stop)
        self._value[i, kept] *= terms[kept.start - start :] ** self.profile.weights[level]
        self._depth[i, kept] += 1
        if self.symmetric:
            self._value[kept, i] = self._value[i, kept]
            self._depth[kept, i] = self._depth[i, kept]

    def _load(self, index: int) -> Tensor:
        """Return query ``index``, or gallery ``index - n_queries``."""
        query = index < self.n_queries
        volume = self._queries[index] if query else self._gallery[index - self.n_queries]
        return volume() if callable(volume) else volume
