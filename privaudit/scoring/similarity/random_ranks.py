"""Mean average precision of random similarities: what a re-identification must beat not to be chance."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from privaudit.scoring.similarity.ranks import QueryRanks

Floats = NDArray[np.float64]


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
    if symmetric:
        people = np.array([rank.person for rank in ranks])
        same = people[:, None] == people[None, :]
        np.fill_diagonal(same, False)
        # Scans of people with one session are in the gallery, but ask nothing.
        others = max(0, max(rank.gallery for rank in ranks) + 1 - len(ranks))
        mine = _padded([np.flatnonzero(row) for row in same])
        return np.array([_precision(_alike(len(ranks), others, rng), mine) for _ in range(draws)])
    mine = _padded([np.arange(rank.positives) for rank in ranks])
    sizes = np.array([rank.gallery for rank in ranks])
    beyond = np.arange(sizes.max())[None, :] >= sizes[:, None]
    row = np.unique([rank.person for rank in ranks], return_inverse=True)[1] if alike else np.arange(len(ranks))
    out = []
    for _ in range(draws):
        scores = rng.random((int(row.max()) + 1, int(sizes.max())))[row]
        scores[beyond] = -1.0
        out.append(_precision(scores, mine))
    return np.array(out)


def _alike(n: int, others: int, rng: np.random.Generator) -> Floats:
    """Random similarities of n scans to each other and to others; to themselves below all."""
    scores = np.triu(rng.random((n, n)), 1)
    scores += scores.T
    np.fill_diagonal(scores, -1.0)
    return np.concatenate([scores, rng.random((n, others))], axis=1) if others else scores


def _padded(places: Sequence[NDArray[np.intp]]) -> NDArray[np.intp]:
    """Columns of each row's positives [n, most]; -1 where it has fewer."""
    out = np.full((len(places), max(len(row) for row in places)), -1)
    for number, row in enumerate(places):
        out[number, : len(row)] = row
    return out


def _precision(scores: Floats, mine: NDArray[np.intp]) -> float:
    """Mean average precision of similarities [n, m] whose positives are in columns ``mine`` [n, most]."""
    own = np.where(mine >= 0, np.take_along_axis(scores, np.maximum(mine, 0), axis=1), -np.inf)
    own = -np.sort(-own, axis=1)
    places = 1 + (scores[:, None, :] > own[:, :, None]).sum(axis=2)
    precision = np.where(np.isfinite(own), np.arange(1, own.shape[1] + 1) / places, 0)
    return float((precision.sum(axis=1) / (mine >= 0).sum(axis=1)).mean())


def share_reaching(found: Floats, observed: float) -> float:
    """Share of random answers that do at least as well as the observed one, which is counted among them.

    A randomisation test (Phipson & Smyth, 2010): never 0.
    """
    return float((1 + (found >= observed - 1e-12).sum()) / (1 + len(found)))
