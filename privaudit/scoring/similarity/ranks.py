"""Scoring of re-identification: exact ranks, computing no similarity that cannot change them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from privaudit.errors import ClaimError
from privaudit.msssim.ranking import SimilarityLike
from privaudit.scoring.similarity.guesses import guess
from privaudit.scoring.similarity.verification import equal_error, questions_of, threshold
from privaudit.scoring.stats import chance_average_precision, chance_rank

METRICS = ("map", "rank1", "rank5", "map5", "f1", "auc", "eer", "tpr_at_fpr01", "tpr_at_fpr001", "epsilon")
PRIMARY_METRIC = "map"
LOWER_IS_LEAKIER = frozenset({"eer"})
FALSE_POSITIVE_RATES = {"tpr_at_fpr01": 0.01, "tpr_at_fpr001": 0.001}


@dataclass(frozen=True)
class QueryRanks:
    """What one query's exact ranking says.

    Attributes:
        query: index of the query.
        person: who it is.
        predicted: the owner of the first-ranked gallery entry.
        rank1: 1 if that is right.
        rank5: 1 if the person is among the first five entries.
        average_precision: over the whole gallery.
        average_precision5: over the first five entries, divided by min(positives, 5).
        people_ahead: number of other people with an entry ahead of the person's best.
        auc: share of other people's entries that are less similar than the person's own; half of those equally so.
            It compares within one query: nothing is lost to a threshold that is the same for all.
        error: share of wrong decisions at the equal-error threshold (:func:`~.verification.equal_error`).
        tpr_at_fpr01: share of the person's entries above the threshold of 1 % false positives among all pairs.
        tpr_at_fpr001: the same for 0.1 %; with fewer than 1,000 pairs of different people, above all of them.
        positives: the person's entries in the gallery.
        gallery: entries in the gallery, the query itself not counted.
        tied: 1 if all of them are equally similar, so that the ranking is chance alone.
        guess: 1 if the attacker tells the person from another (:mod:`~.guesses`); None where that was not asked: it is
            asked once for each person.
    """

    query: int
    person: str
    predicted: str
    rank1: float
    rank5: float
    average_precision: float
    average_precision5: float
    people_ahead: int
    auc: float
    error: float
    tpr_at_fpr01: float
    tpr_at_fpr001: float
    positives: int
    gallery: int
    tied: float = 0.0
    guess: float | None = None


def check_similarity(scores: SimilarityLike, queries: int, gallery: int, encoded: bool, attack: str) -> None:
    """Refuse a similarity of the wrong size.

    Raises:
        ClaimError: it has not one row per transcript and one column per gallery entry.
    """
    got, allowed = (scores.n_queries, scores.n_gallery), (queries, gallery)
    if got != allowed or scores.symmetric != encoded:
        raise ClaimError(f"attack '{attack}' claims similarities of another size", got=got, allowed=allowed)


def as_others(scores: SimilarityLike, query_people: Sequence[str], gallery_people: Sequence[str]) -> list[float | None]:
    """What each query's ranking gives other queries' people in the place of its own.

    Args:
        scores: the attacker's similarity [n, g].
        query_people: owner of each row; '' for none.
        gallery_people: owner of each column, one entry each.

    Returns:
        The mean over those people of one over their place, 0 to 1; None where there is nobody else.
    """
    asked = sorted(set(query_people) - {""})
    columns = {person: column for column, person in enumerate(gallery_people)}
    out: list[float | None] = []
    for row, own in enumerate(query_people):
        others = [columns[person] for person in asked if person != own and person in columns]
        if not others or not own:
            out.append(None)
            continue
        values = np.asarray(scores.exact(row, list(range(len(gallery_people)))), dtype=np.float64)
        # Half of those who are equally alike stand before.
        places = [1 + (values > values[c]).sum() + 0.5 * ((values == values[c]).sum() - 1) for c in others]
        out.append(float(np.mean(1 / np.array(places))))
    return out


def rank_queries(
    scores: SimilarityLike,
    query_people: Sequence[str],
    gallery_people: Sequence[str],
    rng: np.random.Generator,
    advance: Callable[[float], None] = lambda _: None,
) -> list[QueryRanks]:
    """Rank the gallery for every query whose person is in it; queries without a positive are left out.

    Only entries whose upper bound reaches the query's worst positive, or a threshold, are computed to the end. All
    others rank below every positive, so that every figure equals that of the full matrix. Ties are broken at random: a
    constant similarity scores chance.

    Args:
        scores: the attacker's similarity.
        query_people: owner of each row.
        gallery_people: owner of each column; for encoded-to-encoded retrieval the same list.
        rng: for ties.
        advance: progress callback, called with the number of queries done.

    Raises:
        ClaimError: a similarity is not finite.
    """
    owners = np.asarray(gallery_people)
    negative = np.asarray(query_people)[:, None] != owners[None, :]
    questions = questions_of(scores, query_people, owners)
    if not questions:
        return []
    limits = {name: threshold(scores, negative, questions, rate) for name, rate in FALSE_POSITIVE_RATES.items()}
    errors = equal_error(scores, questions)
    guesses = guess(scores, questions, rng.spawn(1)[0])  # from a stream of its own, that ties are not broken otherwise
    advance(len(query_people) - len(questions))
    out = []
    for question, error in zip(questions, errors, strict=True):
        advance(1)
        query, mine, rest = question.query, question.mine, question.rest
        own = scores.exact(query, mine)
        bounds = scores.refine(query, rest, float(own.min()))
        if not (np.isfinite(own).all() and np.isfinite(bounds).all()):
            raise ClaimError("the attack claims similarities that are not finite")
        rivals, close = rest[bounds >= own.min()], bounds[bounds >= own.min()]
        index, values = np.concatenate([mine, rivals]), np.concatenate([own, close])
        order = index[np.lexsort((rng.random(len(index)), -values))]
        hit = owners[order] == question.person
        ranks = np.flatnonzero(hit) + 1
        precision = np.arange(1, len(ranks) + 1) / ranks
        lost = (close > own[:, None]).sum() + 0.5 * (close == own[:, None]).sum()
        out.append(
            QueryRanks(
                query=query,
                person=question.person,
                predicted=str(owners[order[0]]),
                rank1=float(hit[0]),
                rank5=float(hit[:5].any()),
                average_precision=float(precision.mean()),
                average_precision5=float(precision[ranks <= 5].sum() / min(len(mine), 5)),
                people_ahead=len(set(owners[order[: ranks[0] - 1]].tolist())),
                auc=float(1 - lost / (len(mine) * len(rest))),
                error=float(error),
                tpr_at_fpr01=float((own > limits["tpr_at_fpr01"]).mean()),
                tpr_at_fpr001=float((own > limits["tpr_at_fpr001"]).mean()),
                positives=len(mine),
                gallery=len(mine) + len(rest),
                tied=float(len(rivals) == len(rest) and float(np.ptp(values)) == 0),
                guess=guesses.get(query),
            )
        )
    return out


def f1_by_person(rows: Sequence[QueryRanks]) -> dict[str, float]:
    """F1 of every person who was queried or named; macro F1 is their mean (scikit-learn's ``average='macro'``)."""
    people = sorted({row.person for row in rows} | {row.predicted for row in rows})
    out = {}
    for person in people:
        right = sum(row.person == person == row.predicted for row in rows)
        asked = sum(row.person == person for row in rows)
        named = sum(row.predicted == person for row in rows)
        out[person] = 2 * right / (asked + named)
    return out


def chance_levels(rows: Sequence[QueryRanks]) -> dict[str, float]:
    """What a random order of the gallery is expected to score on each metric.

    Macro F1 has no closed form; a random guess of g people, right once in g, scores close to its rank-1.
    """
    shapes = [(row.positives, row.gallery) for row in rows]
    rank1 = float(np.mean([chance_rank(1, r, n) for r, n in shapes]))
    return {
        "rank1": rank1,
        "rank5": float(np.mean([chance_rank(5, r, n) for r, n in shapes])),
        "map": float(np.mean([chance_average_precision(r, n) for r, n in shapes])),
        "map5": float(np.mean([chance_average_precision(r, n, 5) for r, n in shapes])),
        "f1": rank1,
        "auc": 0.5,
        "eer": 0.5,
        **FALSE_POSITIVE_RATES,
        "epsilon": 0.0,
    }


def gallery_curve(rows: Sequence[QueryRanks], people: int) -> tuple[list[int], NDArray[np.float64]]:
    """Rank-1 against gallery size: exact expectation over random subsets of the other people.

    With ``a`` of D other people ahead of the right one, a gallery of g people (the right one and g − 1 others drawn
    without replacement) is answered rightly with probability C(D − a, g − 1) / C(D, g − 1).

    Returns:
        Gallery sizes in people, and rank-1 [queries, sizes].
    """
    others = people - 1
    sizes = sorted({g for g in (2, 3, 5, 10, 20, 50, 100, 200, 500, 1000) if g <= people} | {people})
    table = np.array(
        [[math.comb(others - row.people_ahead, g - 1) / math.comb(others, g - 1) for g in sizes] for row in rows]
    )
    return sizes, table
