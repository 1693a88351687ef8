"""How much of each source is in mixed label maps, read from their values.

An error-free server's map of a mixture is ``Σ sᵢ·[label of source i]`` (equation 3 of Mixup-Privacy): every value is
the sum of some of the shares ``sᵢ``. So few values tell the shares.
"""

from __future__ import annotations

import itertools
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

BINS: Final = 10_000
"""Values that are alike in units of one over this are one value."""
NEAR: Final = 3 / BINS
"""A value and a sum of shares that are nearer are equal."""

Floats = NDArray[np.float64]


def distinct_values(maps: Tensor, most: int) -> Floats | None:
    """The values that occur in maps of any shape, in order, each to float32's precision; None where there are more.

    Args:
        maps: any shape, values in [0, 1].
        most: so many there may be.
    """
    values = maps.flatten().double().numpy()
    if not len(values) or values.min() < -NEAR or values.max() > 1 + NEAR:
        return None
    places = np.rint(values * BINS).astype(np.int64) + 1 + round(NEAR * BINS)
    counts = np.bincount(places)
    there = np.flatnonzero(counts)
    # Rounding may put one value into two neighbouring bins.
    clusters = np.split(there, np.flatnonzero(np.diff(there) > 1) + 1)
    if len(clusters) > most or any(len(cluster) > 3 for cluster in clusters):
        return None
    sums = np.bincount(places, values)
    return np.array([sums[cluster].sum() / counts[cluster].sum() for cluster in clusters])


def explains(shares: Floats, values: Floats) -> bool:
    """Whether every value is the sum of some of the shares.

    >>> explains(np.array([0.7, 0.3]), np.array([0.0, 0.3, 1.0]))
    True
    """
    sums = np.zeros(1)
    for share in shares:
        sums = np.concatenate([sums, sums + share])
    return bool((np.abs(values[:, None] - sums).min(axis=1) <= NEAR).all())


def fits(shares: Floats, voxels: Floats) -> bool:
    """Whether every voxel's values are those of the shares, each source having one label.

    Args:
        shares: [m].
        voxels: greatest values of each voxel, greatest first, [P, m or fewer]; the rest are 0.

    >>> fits(np.array([0.6, 0.2, 0.2]), np.array([[0.8, 0.2, 0.0]])), fits(np.array([0.6, 0.4]), np.array([[0.8, 0.2]]))
    (True, False)
    """
    owners = np.array(list(itertools.product(range(len(shares)), repeat=len(shares))))
    sums = np.stack([(shares * (owners == label)).sum(axis=1) for label in range(len(shares))], axis=1)
    possible = np.unique(np.round(-np.sort(-sums, axis=1), 6), axis=0)
    width = max(possible.shape[1], voxels.shape[1])
    rows, known = (np.pad(some, ((0, 0), (0, width - some.shape[1]))) for some in (voxels, possible))
    return bool((np.abs(rows[:, None] - known[None]).max(axis=2).min(axis=1) <= NEAR).all())


def value_shares(maps: Tensor, sources: int) -> Floats | None:
    """The fewest shares, greatest first, that explain the values of a map; None where so many sources do not.

    Sources that have the same label everywhere count as one.

    Args:
        maps: float32 [C, *patch], what a server returns of one patch of one view.
        sources: how many are mixed at most.

    >>> value_shares(torch.tensor([[0.75, 0.0], [0.25, 1.0], [0.0, 0.0]]), 2).tolist()
    [0.75, 0.25]
    """
    values = distinct_values(maps, 2**sources)
    if values is None:
        return None
    voxels = np.zeros((0, 1))
    if sources > 2:  # of two, the values tell all
        top = maps.flatten(1).T.topk(min(sources, len(maps)), dim=1).values
        voxels = np.unique(top[top[:, 0] < 1 - NEAR].double().numpy().round(4), axis=0)
    inner = values[(values > NEAR) & (values < 1 - NEAR)]
    for count in range(1, sources + 1):
        for some in itertools.combinations_with_replacement(inner, count - 1):
            rest = 1 - sum(some)
            shares = np.array([*some, rest])
            if rest > NEAR and explains(shares, values) and fits(shares, voxels):
                found: Floats = -np.sort(-shares)
                return found
    return None


def shares_of(maps: Tensor, sources: int, pooled: bool) -> Tensor | None:
    """Shares of every view and patch, greatest first; None where the values are not those of an error-free server.

    Args:
        maps: float32 [V, N, C, *patch], what came back.
        sources: how many are mixed at most.
        pooled: whether all patches of a view may have the same shares; where they have, every patch gets them.

    Returns:
        float64 [V, N, sources]; 0 stands where fewer sources can be told apart.
    """
    out = torch.zeros((*maps.shape[:2], sources), dtype=torch.float64)
    for number, view in enumerate(maps):
        found = []
        for patch in view:
            shares = value_shares(patch, sources)
            if shares is None:
                return None
            found.append(shares)
        most = max(map(len, found))
        full = np.array([shares for shares in found if len(shares) == most])
        if pooled and float(np.ptp(full, axis=0).max()) <= NEAR:
            found = [np.median(full, axis=0)] * len(found)
        for row, shares in zip(out[number], found, strict=True):
            row[: len(shares)] = torch.from_numpy(shares)
    return out
