"""Which of two people was sent? One guess for each person, and the epsilon that right guesses prove.

A scheme is ε-private for one request if no output is more than e^ε times as likely for one scan as for another. Then
nobody guesses which of two scans was sent with a better chance than e^ε / (1 + e^ε), and the number of right guesses
is no larger than a binomial one of that chance (Steinke, Nasr & Jagielski 2023, arXiv 2305.08846; guessing among
candidates: Mahloujifar, Melis & Chaudhuri 2024, arXiv 2410.22235). So many right guesses refute a small ε.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np

from privaudit.msssim.ranking import SimilarityLike
from privaudit.results.record import Interval
from privaudit.scoring.similarity.verification import Question
from privaudit.scoring.stats import clopper_pearson

MOST: Final = 10.0
"""Greatest epsilon that is reported; as the upper end of an interval it stands for no end."""


def guess(scores: SimilarityLike, questions: Sequence[Question], rng: np.random.Generator) -> dict[int, float]:
    """Return whether the attacker guesses rightly, by query: one guess for each person.

    Each person has one request and one gallery entry, both drawn; in encoded-to-encoded retrieval no scan is both. The
    attacker sees a person's request beside the entries of that person and of another, drawn anew for each guess, and
    names the more similar; of equal ones either. For two people, the two guesses between them ask which of two scans
    was sent, so that their chances add up to no more than 2 e^ε / (1 + e^ε). Given the entries, guesses depend on one
    request each: they are independent where requests are encoded independently, and a sum of independent hits is no
    likelier to be large than the binomial one of their mean chance (Hoeffding 1956). A second guess of one person
    would break that.
    """
    of: dict[str, list[Question]] = {}
    for question in questions:
        of.setdefault(question.person, []).append(question)
    asked = [several[rng.integers(len(several))] for several in of.values()]
    entries = [int(rng.choice(question.mine)) for question in asked]
    if len(asked) < 2:
        return {}
    out = {}
    for number, question in enumerate(asked):
        other = int(rng.integers(len(asked) - 1))
        other += other >= number
        own = float(scores.exact(question.query, [entries[number]])[0])
        rival = float(scores.refine(question.query, [entries[other]], own)[0])
        out[question.query] = float(own > rival or (own == rival and rng.random() < 0.5))
    return out


def epsilon(right: int, guesses: int, confidence: float = 0.95) -> tuple[float, Interval]:
    """Return an estimate of epsilon, and the interval whose lower end the guesses prove.

    The estimate is the log-odds of (right + 1) / (guesses + 2), Laplace's share, which is finite. The interval is that
    of Clopper and Pearson in log-odds: its lower end is too high in at most (1 - ``confidence``) / 2 of audits. Shares
    below one half read 0, as no epsilon is negative, and everything above :data:`MOST` reads that.

    >>> [round(x, 3) for x in epsilon(24, 24)[1]]
    [1.795, 10.0]
    """
    low, high = clopper_pearson(right / guesses, guesses, confidence)
    return _log_odds((right + 1) / (guesses + 2)), (_log_odds(low), _log_odds(high))


def _log_odds(share: float) -> float:
    if share >= 1:
        return MOST
    return min(math.log(share / (1 - share)), MOST) if share > 0.5 else 0.0
