"""Verification: one threshold says 'the same person' or not. Exact, from a similarity that is computed only so far."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from privaudit.msssim.ranking import SimilarityLike, threshold_at_fpr

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Question:
    """One query whose person is in the gallery.

    Attributes:
        query: its index.
        person: who it is.
        mine: the person's gallery entries, the query itself left out.
        rest: those of other people.
    """

    query: int
    person: str
    mine: NDArray[np.intp]
    rest: NDArray[np.intp]


def questions_of(scores: SimilarityLike, people: Sequence[str], owners: NDArray[np.str_]) -> list[Question]:
    """Return the queries that can be answered rightly and wrongly; the others are left out.

    Args:
        scores: the attacker's similarity.
        people: owner of each row.
        owners: owner of each column.
    """
    out = []
    for query, person in enumerate(people):
        mine, rest = owners == person, owners != person
        if scores.symmetric:
            mine[query] = False
        if mine.any() and rest.any():
            out.append(Question(query, person, np.flatnonzero(mine), np.flatnonzero(rest)))
    return out


def threshold(scores: SimilarityLike, negative: NDArray[np.bool_], questions: Sequence[Question], rate: float) -> float:
    """The similarity that a share ``rate`` of the pairs of different people reach.

    Strictly above it lie fewer than that share of them; where there are fewer than 1 / ``rate`` pairs, none.

    It is minus infinity where every pair of one person lies above it anyway. That is common (raw images) and cheap:
    it needs the others to be computed only as far as the worst of those. Else many have to be computed to the end.
    """
    worst = min((float(scores.exact(q.query, q.mine).min()) for q in questions), default=-np.inf)
    counted = np.triu(negative, 1) if scores.symmetric else negative
    allowed = math.ceil(rate * int(counted.sum()))
    reached = 0
    for query, row in enumerate(counted):
        reached += int((scores.refine(query, np.flatnonzero(row), worst) >= worst).sum())
        if reached >= allowed:
            return threshold_at_fpr(scores, negative, rate) if counted.any() else -np.inf
    return -np.inf


def equal_error(scores: SimilarityLike, questions: Sequence[Question]) -> Floats:
    """Return how often each question ``[N]`` is decided wrongly at the threshold where both kinds of error are equal.

    False negatives are the person's entries that are refused, false positives the others that are accepted. Both are
    shares of one question's comparisons, and every question counts once. The threshold is the same for all. Each value
    is half the sum of its two shares; their mean is the equal error rate, where scikit-learn's ROC curve, with straight
    lines between its points, meets TPR = 1 - FPR. A constant similarity gives one half.

    Only at the similarities of one person's pairs does the curve turn. Bisection over those never asks for other pairs
    much below the threshold, so that the rest need not be computed.
    """
    own = [scores.exact(q.query, q.mine) for q in questions]
    turns = np.unique(np.concatenate(own))[::-1]

    def errors(corner: int) -> tuple[Floats, Floats]:
        """False negatives and false positives: corners are above everything, above turn 0, from it on, above turn 1."""
        if corner == 0:
            return np.ones(len(questions)), np.zeros(len(questions))
        value, reach = turns[(corner - 1) // 2], np.greater if corner % 2 else np.greater_equal
        refused = [1 - reach(mine, value).mean() for mine in own]
        accepted = [reach(scores.refine(q.query, q.rest, float(value)), value).mean() for q in questions]
        return np.array(refused), np.array(accepted)

    def crossed(corner: int) -> bool:
        refused, accepted = errors(corner)
        return bool(accepted.mean() >= refused.mean())

    corner = bisect_left(range(2 * len(turns)), True, key=crossed)  # nothing is refused at the last corner
    before, after = errors(corner - 1), errors(corner)
    gaps = [float(refused.mean() - accepted.mean()) for refused, accepted in (before, after)]
    part = gaps[0] / (gaps[0] - gaps[1])
    return np.asarray((1 - part) * (before[0] + before[1]) / 2 + part * (after[0] + after[1]) / 2)
