"""Mixing and naive unmixing: equations 2 to 5 of Mixup-Privacy (Kim et al., IPMI 2023, arXiv 2305.13756).

The paper mixes with one reference; k > 1, its future work, replaces the reference by a weighted mean of k of them.
Tensors are batched: views V, patches N, references k, any patch shape.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.errors import OptionError
from privaudit.imaging.patches import Shape, cut

AlphaPer = Literal["patch", "request", "volume"]


class Mixed(Protocol):
    """What must be known of how others are mixed in; :class:`privaudit.contracts.scheme.Mixing` says it."""

    @property
    def references(self) -> int:
        """How many others are in one mixture."""

    @property
    def aligned(self) -> bool:
        """Whether they are cut at the target's place."""

    @property
    def pooled(self) -> bool:
        """Whether all patches of a view share one mixing weight."""

    @property
    def fresh(self) -> bool:
        """Whether every view has mixing weights of its own."""


def _spread(weights: Tensor, like: Tensor) -> Tensor:
    """Give weights as many trailing unit axes as ``like`` has beyond them."""
    return weights.reshape(*weights.shape, *(1,) * (like.ndim - weights.ndim))


def combine(references: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum over k references: [..., k, *rest] and weights [..., k] that add up to 1 give [..., *rest]."""
    if weights.shape[-1] == 1:
        return references.squeeze(weights.ndim - 1)
    return (references * _spread(weights, references)).sum(dim=weights.ndim - 1)


def mix(target: Tensor, reference: Tensor, alpha: Tensor) -> Tensor:
    """Equations 2, 3 and 5: ``α·target + (1 − α)·reference``.

    Args:
        target: images or one-hot maps [N, *rest].
        reference: [V, N, *rest], one per view.
        alpha: mixing weights [V, N] in [0, 1].

    Returns:
        [V, N, *rest].
    """
    return torch.lerp(reference, target.expand_as(reference), _spread(alpha, reference).to(reference.dtype))


def unmix(mixed: Tensor, reference: Tensor, alpha: Tensor) -> Tensor:
    """Equation 4, the naive inverse: ``(mixed − (1 − α)·reference) / α``, computed in float64.

    Exact up to the rounding of ``mixed``, which is divided by α.

    Args:
        mixed: [V, N, *rest].
        reference: [V, N, *rest].
        alpha: [V, N] in (0, 1].

    Raises:
        OptionError: an α is 0, where nothing of the target was sent.
    """
    if bool((alpha <= 0).any()):
        raise OptionError("nothing can be unmixed at a mixing weight of 0", got=float(alpha.min()), allowed="(0, 1]")
    weight = _spread(alpha.double(), mixed)
    return (mixed.double() - (1 - weight) * reference.double()) / weight


@dataclass(frozen=True)
class Draw:
    """What is drawn at random for one scan.

    Attributes:
        alpha: float64 [V, N] in (0, 1].
        subjects: int64 [V, N, k], which pool scan.
        weights: float64 [V, N, k], adding up to 1 over k.
        corners: int64 [V, N, k, 3], where the reference patch is cut.
    """

    alpha: NDArray[np.float64]
    subjects: NDArray[np.int64]
    weights: NDArray[np.float64]
    corners: NDArray[np.int64]

    def gather(self, views: int, size: Shape, load: Callable[[int], Tensor], channels: tuple[int, ...] = ()) -> Tensor:
        """Cut and combine the reference patches of the first views, reading each pool scan once.

        Args:
            views: how many.
            size: of a patch, in voxels.
            load: reads a pool scan, float32 [*channels, X, Y, Z], by its index.
            channels: what stands before its voxels.

        Returns:
            float32 [views, N, *channels, *patch].
        """
        subjects = self.subjects[:views]
        out = torch.zeros((views, subjects.shape[1], *channels, *size))
        for subject in np.unique(subjects):
            where = np.argwhere(subjects == subject)
            pieces = cut(load(int(subject)), self.corners[tuple(where.T)], size)
            for (v, n, j), piece in zip(where.tolist(), pieces, strict=True):
                out[v, n].add_(piece, alpha=float(self.weights[v, n, j]))
        return out


def draw_alpha(
    rng: random.Random, low: float, high: float, views: int, patches: int, per: AlphaPer, fresh: bool
) -> NDArray[np.float64]:
    """Draw mixing weights [views, patches], uniform on [low, high] but never 0.

    Args:
        rng: where randomness comes from.
        low: lower end, from 0.
        high: upper end, to 1; equal to ``low`` for a fixed weight.
        views: number of encoded views.
        patches: number of patches.
        per: 'patch' draws one per patch, 'request' one per encoded view, 'volume' one for the target and all its views.
        fresh: with 'patch', whether every view draws its own (the paper's equation 5 shares one).
    """

    def one() -> float:
        while True:
            value = low + (high - low) * rng.random()
            if value > 0:
                return value

    if per == "volume":
        return np.full((views, patches), one())
    if per == "request":
        return np.repeat(np.array([[one()] for _ in range(views)]), patches, axis=1)
    if fresh:
        return np.array([[one() for _ in range(patches)] for _ in range(views)])
    return np.repeat(np.array([[one() for _ in range(patches)]]), views, axis=0)


def draw_subjects(
    rng: random.Random, pool: int, views: int, patches: int, k: int, per_volume: bool, apart: bool = False
) -> NDArray[np.int64]:
    """Draw pool indices [views, patches, k]: no repeats over views and k while the pool lasts.

    Args:
        rng: where randomness comes from.
        pool: number of reference scans, at least k.
        views: number of encoded views.
        patches: number of patches.
        k: references per mixture, all different.
        per_volume: one draw serves every patch of a view; else each patch has its own.
        apart: no reference is in two views, not even in other patches.

    Raises:
        OptionError: the pool is smaller than k, or with ``apart`` than views·k.
    """
    if pool < k:
        raise OptionError("the reference pool is too small", got=pool, allowed=f"at least k = {k}", todo="enlarge it")
    if apart and pool < views * k:
        raise OptionError(
            "the reference pool is too small to use no scan twice", got=f"{pool} scans",
            allowed=f"at least {views * k}, {k} for each of {views} views", todo="enlarge it, or send fewer views",
        )  # fmt: skip
    order = rng.sample(range(pool), pool) if apart else []
    parts = [order[view::views] for view in range(views)]

    def one_target() -> list[list[int]]:
        if apart:
            return [rng.sample(part, k) for part in parts]
        drawn: list[list[int]] = []
        deck: list[int] = []
        for _ in range(views):
            if len(deck) < k:
                deck = rng.sample(range(pool), pool)
            drawn.append([deck.pop() for _ in range(k)])
        return drawn

    columns = [one_target()] * patches if per_volume else [one_target() for _ in range(patches)]
    return np.array(columns, dtype=np.int64).transpose(1, 0, 2)


def disjoint_part(pool: int, request: int, requests: int, views: int, k: int) -> range:
    """Which references are one request's, where none is used twice: indices from 0, as many for every request.

    Args:
        pool: number of reference scans.
        request: which, from 0.
        requests: how many there are.
        views: of each.
        k: references of each view.

    Raises:
        OptionError: there are fewer than views·k for each request.
    """
    needed = views * k * requests
    if pool < needed:
        raise OptionError(
            "the reference pool is too small to use no scan twice", got=f"{pool} scans",
            allowed=f"at least {needed}: {views} views × {k} references × {requests} scans to encode",
            todo="enlarge the pool (--split.pool), encode fewer scans or send fewer views (--views)",
        )  # fmt: skip
    each = pool // requests
    return range(request * each, (request + 1) * each)


def draw_weights(rng: random.Random, views: int, patches: int, k: int, equal: bool) -> NDArray[np.float64]:
    """Draw the weights of k references [views, patches, k]: equal, or uniform on the simplex."""
    if equal or k == 1:
        return np.full((views, patches, k), 1 / k)
    raw = np.array([rng.expovariate(1.0) for _ in range(views * patches * k)]).reshape(views, patches, k)
    weights: NDArray[np.float64] = raw / raw.sum(axis=-1, keepdims=True)
    return weights


def draw_corners(
    rng: random.Random, positions: NDArray[np.int64], shape: tuple[int, int, int], size: tuple[int, int, int],
    views: int, k: int, aligned: bool,
) -> NDArray[np.int64]:  # fmt: skip
    """Draw where reference patches are cut [views, N, k, 3]: at the target's place, or anywhere in the volume."""
    if aligned:
        return np.broadcast_to(positions[None, :, None, :], (views, len(positions), k, 3)).copy()
    room = [side - patch for side, patch in zip(shape, size, strict=True)]
    corners = [[rng.randint(0, space) for space in room] for _ in range(views * len(positions) * k)]
    return np.array(corners, dtype=np.int64).reshape(views, len(positions), k, 3)
