"""Verification figures against scikit-learn and brute force, and the epsilon of guesses against what it promises."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

from privaudit.msssim import DenseSimilarity
from privaudit.scoring.similarity.guesses import MOST, epsilon, guess
from privaudit.scoring.similarity.ranks import QueryRanks, chance_levels, rank_queries
from privaudit.scoring.similarity.verification import Question, equal_error, questions_of

Matrix = np.ndarray[Any, np.dtype[np.float64]]


def rng(seed: int | list[int] = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


class Pruned(DenseSimilarity):
    """A similarity that says no more than it must: a bound just below the threshold wherever that is true."""

    def refine(self, i: int, js: Any, threshold: float) -> Matrix:
        exact = self.exact(i, js)
        return np.where(exact < threshold, (exact + min(threshold, 1e9)) / 2, exact)


def drawn(seed: int, people: int, sessions: int, levels: int, signal: float) -> tuple[Matrix, list[str]]:
    """Symmetric similarities of few levels, so with many ties; those of one person are higher by ``signal``."""
    owners = [f"p{i // sessions}" for i in range(people * sessions)]
    source = rng(seed)
    matrix = source.integers(levels, size=(len(owners),) * 2) / levels
    matrix = np.triu(matrix, 1) + np.triu(matrix, 1).T
    same = np.array(owners)[:, None] == np.array(owners)[None, :]
    return np.round(matrix + signal * same, 6), owners


def asked(scores: DenseSimilarity, people: list[str], owners: list[str]) -> list[Question]:
    return questions_of(scores, people, np.array(owners))


def pooled(questions: list[Question], matrix: Matrix) -> tuple[Matrix, Matrix]:
    truth = [[1.0] * len(q.mine) + [0.0] * len(q.rest) for q in questions]
    return np.concatenate(truth), np.concatenate([matrix[q.query, np.append(q.mine, q.rest)] for q in questions])


CASES = (st.integers(0, 10**6), st.integers(2, 7), st.integers(2, 3), st.integers(1, 40), st.floats(0, 1))


@given(*CASES)
def test_auc_is_scikit_learns_of_each_query(seed: int, people: int, sessions: int, levels: int, signal: float) -> None:
    matrix, owners = drawn(seed, people, sessions, levels, signal)
    scores = Pruned(matrix, symmetric=True)
    for row, question in zip(rank_queries(scores, owners, owners, rng()), asked(scores, owners, owners), strict=True):
        assert row.auc == pytest.approx(roc_auc_score(*pooled([question], matrix)))


@given(*CASES)
def test_equal_error_rate_is_where_scikit_learns_curve_meets_the_diagonal(
    seed: int, people: int, sessions: int, levels: int, signal: float
) -> None:
    matrix, owners = drawn(seed, people, sessions, levels, signal)
    scores = Pruned(matrix, symmetric=True)
    questions = asked(scores, owners, owners)
    accepted, found, _ = roc_curve(*pooled(questions, matrix), drop_intermediate=False)
    # On the curve, both errors are equal where FPR + TPR = 1; the sum only grows along it.
    expected = np.interp(1.0, accepted + found, accepted)
    errors = equal_error(scores, questions)
    assert errors.mean() == pytest.approx(expected)
    assert ((errors >= 0) & (errors <= 1)).all()
    assert [row.error for row in rank_queries(scores, owners, owners, rng())] == errors.tolist()


@given(st.integers(0, 10**6))
def test_every_query_counts_once_however_many_scans_its_person_has(seed: int) -> None:
    """By brute force over every threshold, with uneven people, some of whom cannot ask."""
    owners = list("AAABBCDDDDE")
    matrix = drawn(seed, len(owners), 1, 9, 0)[0]
    questions = asked(DenseSimilarity(matrix, symmetric=True), owners, owners)
    assert {q.person for q in questions} == set("ABD")
    curve = [(1.0, 0.0)]
    for level in np.unique(matrix)[::-1]:
        refused = np.mean([(matrix[q.query, q.mine] < level).mean() for q in questions])
        accepted = np.mean([(matrix[q.query, q.rest] >= level).mean() for q in questions])
        curve.append((float(refused), float(accepted)))
    refusals, acceptances = np.array(curve).T
    expected = np.interp(0.0, acceptances - refusals, acceptances)
    assert equal_error(DenseSimilarity(matrix, symmetric=True), questions).mean() == pytest.approx(expected)


def test_raw_gallery_figures_by_brute_force() -> None:
    people = [f"p{i}" for i in range(40)]
    matrix = rng(5).random((40, 40)) + 0.3 * np.eye(40)
    rows = rank_queries(Pruned(matrix), people, people, rng())
    truth, scores = np.eye(40).ravel(), matrix.ravel()
    accepted, found, _ = roc_curve(truth, scores, drop_intermediate=False)
    assert np.mean([r.error for r in rows]) == pytest.approx(np.interp(1.0, accepted + found, accepted))
    assert np.mean([r.auc for r in rows]) == pytest.approx((matrix < np.diag(matrix)[:, None]).sum(axis=1).mean() / 39)
    for name, rate in (("tpr_at_fpr01", 0.01), ("tpr_at_fpr001", 0.001)):
        limit = np.sort(scores[truth == 0])[::-1][math.ceil(rate * 1560) - 1]
        assert np.mean([getattr(r, name) for r in rows]) == (np.diag(matrix) > limit).mean()


def test_what_chance_and_perfection_score() -> None:
    people = [f"p{i}" for i in range(30)]
    constant, perfect = (
        rank_queries(DenseSimilarity(m), people, people, rng()) for m in (np.ones((30, 30)), np.eye(30))
    )
    levels = chance_levels(constant)
    assert {row.auc for row in constant} == {levels["auc"]} == {0.5}
    assert {row.error for row in constant} == {levels["eer"]} == {0.5}
    assert {(row.auc, row.error, row.tpr_at_fpr001, row.guess) for row in perfect} == {(1.0, 0.0, 1.0, 1.0)}
    noise = [drawn(seed, 24, 2, 10**6, 0) for seed in range(40)]
    rows = [row for m, p in noise for row in rank_queries(DenseSimilarity(m, symmetric=True), p, p, rng())]
    assert np.mean([row.auc for row in rows]) == pytest.approx(0.5, abs=0.03)
    assert np.mean([row.error for row in rows]) == pytest.approx(0.5, abs=0.03)


def test_an_epsilon_is_the_log_odds_of_clopper_and_pearsons_share() -> None:
    for right, guesses in ((24, 24), (20, 24), (60, 100), (12, 24)):
        share = stats.binomtest(right, guesses).proportion_ci(0.9, "exact").low
        (estimate, ci) = epsilon(right, guesses, 0.9)
        assert ci[0] == pytest.approx(max(0, math.log(share / (1 - share))))
        assert estimate == pytest.approx(math.log((right + 1) / (guesses - right + 1)))
        assert ci[0] <= estimate <= ci[1]
    # All right: the least share that makes that likelier than a twentieth is its n-th root.
    root = 0.05 ** (1 / 24)
    low, high = epsilon(24, 24, 0.9)[1]
    assert low == pytest.approx(math.log(root / (1 - root)))
    assert high == MOST
    assert epsilon(0, 24) == (0.0, (0.0, 0.0)), "worse than a coin proves nothing"


@pytest.mark.parametrize("true", [0.0, 1.0, 3.0])
@pytest.mark.parametrize("guesses", [12, 24, 100])
def test_the_bound_is_rarely_above_the_epsilon_of_guesses_that_use_it_up(true: float, guesses: int) -> None:
    """Exactly, over every count: at most a fortieth of audits, and with a confidence of 90 % a twentieth."""
    share = math.exp(true) / (1 + math.exp(true))
    for confidence in (0.95, 0.9):
        wrong = [c for c in range(guesses + 1) if epsilon(c, guesses, confidence)[1][0] > true + 1e-9]
        assert stats.binom.pmf(wrong, guesses, share).sum() <= (1 - confidence) / 2


def played(matrix: Matrix, owners: list[str], seed: int, symmetric: bool = True) -> list[float]:
    scores = DenseSimilarity(matrix, symmetric=symmetric)
    return list(guess(scores, asked(scores, owners, owners), rng(seed)).values())


@pytest.mark.parametrize("kind", ["noise", "hubs", "constant"])
def test_meaningless_similarities_seldom_prove_anything(kind: str) -> None:
    """Independent ones, ones where some people are like everybody, and equal ones: at most 5 % of audits above 0."""
    above, trials = 0, 400
    for seed in range(trials):
        matrix, owners = drawn(seed, 24, 2, 1 if kind == "constant" else 10**6, 0)
        if kind == "hubs":
            hub = rng(seed).random(len(owners))
            matrix = hub[:, None] + hub[None, :] + 1e-3 * matrix
        hits = played(matrix, owners, seed)
        assert len(hits) == 24, "one guess a person"
        above += epsilon(int(sum(hits)), len(hits))[1][0] > 0
    assert above / trials <= 0.05


@pytest.mark.parametrize("true", [0.5, 2.0])
def test_a_scheme_of_known_epsilon_is_seldom_accused_of_more(true: float) -> None:
    """Randomised response: a request names its person e^ε times as often as any other. Ties go either way."""
    people, trials, above, proven = 40, 400, 0, 0
    names = [f"p{i}" for i in range(people)]
    for seed in range(trials):
        source = rng([seed, 1])
        right = source.random(people) < math.exp(true) / (math.exp(true) + people - 1)
        sent = np.where(right, np.arange(people), (np.arange(people) + source.integers(1, people, people)) % people)
        low = epsilon(int(sum(hits := played(np.eye(people)[sent], names, seed, False))), len(hits))[1][0]
        above, proven = above + (low > true), proven + (low > 0)
    assert above / trials <= 0.025 + 3 * math.sqrt(0.025 / trials)
    assert proven < trials / 2, "naming one in forty is a weak attack on this scheme, and proves little"


def test_guesses_are_the_attackers_and_depend_on_nothing_but_the_generator() -> None:
    matrix, owners = drawn(3, 12, 3, 10**6, 2.0)
    assert played(matrix, owners, 0) == [1.0] * 12
    assert played(-matrix, owners, 0) == [0.0] * 12
    noise = drawn(3, 12, 3, 10**6, 0)[0]
    assert played(noise, owners, 1) == played(noise, owners, 1) != played(noise, owners, 2)
    pruned = guess(Pruned(noise, symmetric=True), asked(Pruned(noise, symmetric=True), owners, owners), rng(1))
    assert list(pruned.values()) == played(noise, owners, 1)
    assert played(np.ones((2, 2)), ["a", "a"], 0) == []


def test_nothing_else_changes_where_guesses_are_drawn() -> None:
    """Ties are broken from the generator itself; guesses have a stream of their own."""
    rows: list[QueryRanks] = rank_queries(
        DenseSimilarity(np.ones((9, 9))), list("abcdefghi"), list("abcdefghi"), rng(4)
    )
    source = rng(4)
    orders = [np.lexsort((source.random(9), -np.ones(9))) for _ in range(9)]
    assert [r.rank1 for r in rows] == [float(order[0] == 0) for order in orders]
