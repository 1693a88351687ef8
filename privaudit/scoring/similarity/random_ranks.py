"""Mean average precision of random similarities: what a re-identification must beat not to be chance."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from privaudit.scoring.similarity.ranks import QueryRanks

Floats = NDArray[np.float64]
AT_ONCE: Final = 2**20
"""Random numbers that are drawn at once."""


class Query(NamedTuple):
    """Who a query is of, and how many entries of theirs, and of all, its gallery has."""

    person: str
    positives: int
    gallery: int


@lru_cache(maxsize=8)
def drawn_map(queries: tuple[Query, ...], symmetric: bool, draws: int, seed: int, alike: bool = False) -> Floats:
    """:func:`random_map`, once for all attacks that ask the same queries; not to be written on."""
    found = random_map(queries, symmetric, draws, np.random.default_rng(seed), alike)
    found.flags.writeable = False
    return found


def random_map(
    ranks: Sequence[Query | QueryRanks], symmetric: bool, draws: int, rng: np.random.Generator, alike: bool = False
) -> Floats:
    """Draw the mAP [draws] that similarities without any meaning give to these queries.

    Args:
        ranks: the queries; who they are of, and how many entries of theirs and of others the gallery has.
        symmetric: whether the gallery is the queries themselves: then a similarity counts for both of its scans, and
            the two queries of one person rise and fall together.
        draws: how many.
        rng: of the similarities.
        alike: whether all queries of one person get one answer, where there is a gallery. An attacker who answers every
            query alike is right for all of a person's or for none, and spreads no more than this: places are then drawn
            without replacement (Hoeffding 1963).
    """
    from privaudit.scoring.similarity import random_precision  # the compiler takes a while to import

    found = np.empty(draws)
    if symmetric:
        people = np.array([rank.person for rank in ranks])
        same = people[:, None] == people[None, :]
        np.fill_diagonal(same, False)
        # Scans of people with one session are in the gallery, but ask nothing.
        others = max(0, max(rank.gallery for rank in ranks) + 1 - len(ranks))
        mine = _padded([np.flatnonzero(row) for row in same])
        for part in _parts(draws, len(ranks) * (len(ranks) + others)):
            scores = rng.random((len(found[part]), len(ranks) * (len(ranks) + others)))
            random_precision.among_queries(scores, mine, others, found[part])
        return found
    positives, sizes = (np.array([getattr(rank, name) for rank in ranks]) for name in ("positives", "gallery"))
    row = np.unique([rank.person for rank in ranks], return_inverse=True)[1] if alike else np.arange(len(ranks))
    shape = int(row.max()) + 1, int(sizes.max())
    for part in _parts(draws, math.prod(shape)):
        random_precision.in_galleries(rng.random((len(found[part]), *shape)), row, positives, sizes, found[part])
    return found


def _parts(draws: int, size: int) -> Iterator[slice]:
    """Draws of so many numbers each, some at a time: numbers come in the same order however many they are."""
    step = max(1, AT_ONCE // max(1, size))
    return (slice(start, start + step) for start in range(0, draws, step))


def _padded(places: Sequence[NDArray[np.intp]]) -> NDArray[np.intp]:
    """Columns of each row's positives [n, most]; -1 where it has fewer."""
    out = np.full((len(places), max(len(row) for row in places)), -1)
    for number, row in enumerate(places):
        out[number, : len(row)] = row
    return out


def share_reaching(found: Floats, observed: float) -> float:
    """Share of random answers that do at least as well as the observed one, which is counted among them.

    A randomisation test (Phipson & Smyth, 2010): never 0.
    """
    return float((1 + (found >= observed - 1e-12).sum()) / (1 + len(found)))
