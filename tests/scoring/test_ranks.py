"""Retrieval figures against scikit-learn and brute force."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score

from privaudit.errors import ClaimError
from privaudit.msssim.ranking import DenseSimilarity
from privaudit.scoring.similarity.ranks import (
    as_others,
    chance_levels,
    check_similarity,
    f1_by_person,
    gallery_curve,
    rank_queries,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def symmetric(seed: int, n: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    matrix = rng(seed).random((n, n))
    return np.asarray((matrix + matrix.T) / 2)


@given(st.integers(0, 10**6), st.integers(3, 8), st.integers(2, 3))
def test_encoded_retrieval_is_scikit_learns(seed: int, people: int, sessions: int) -> None:
    owners = [f"p{i // sessions}" for i in range(people * sessions)]
    matrix = symmetric(seed, len(owners))
    rows = rank_queries(DenseSimilarity(matrix, symmetric=True), owners, owners, rng())
    predicted = []
    for i, row in enumerate(rows):
        others = np.arange(len(owners)) != i
        relevant = (np.array(owners) == owners[i])[others]
        scores = matrix[i, others]
        order = np.argsort(-scores)
        assert row.average_precision == pytest.approx(average_precision_score(relevant, scores))
        assert row.rank1 == relevant[order[0]]
        assert row.rank5 == relevant[order[:5]].any()
        predicted.append(np.array(owners)[others][order[0]])
        assert row.predicted == predicted[-1]
    macro = float(np.mean(list(f1_by_person(rows).values())))
    assert macro == pytest.approx(f1_score(owners, predicted, average="macro"))


@given(st.integers(0, 10**6))
def test_raw_gallery_retrieval(seed: int) -> None:
    people = [f"p{i}" for i in range(9)]
    matrix = rng(seed).random((9, 9))
    rows = rank_queries(DenseSimilarity(matrix), people, people, rng())
    ranks = (matrix > np.diag(matrix)[:, None]).sum(axis=1) + 1
    assert [row.average_precision for row in rows] == pytest.approx((1 / ranks).tolist())
    assert [row.people_ahead for row in rows] == (ranks - 1).tolist()


def test_threshold_of_one_percent_false_positives_by_brute_force() -> None:
    people = [f"p{i}" for i in range(40)]
    matrix = rng(5).random((40, 40)) + 0.4 * np.eye(40)
    rows = rank_queries(DenseSimilarity(matrix), people, people, rng())
    negatives = np.sort(matrix[~np.eye(40, dtype=bool)])[::-1]
    allowed = int(0.01 * negatives.size)
    got = np.mean([row.tpr_at_fpr01 for row in rows])
    threshold = negatives[allowed]  # at most this many negatives lie strictly above it
    assert abs(got - (np.diag(matrix) > threshold).mean()) <= 1 / 40


def test_a_constant_similarity_scores_chance() -> None:
    people = [f"p{i // 2}" for i in range(60)]
    hits = [
        row.rank1
        for seed in range(20)
        for row in rank_queries(DenseSimilarity(np.ones((60, 60)), symmetric=True), people, people, rng(seed))
    ]
    # 1200 guesses at 1 in 59: 20 expected, and 40 or more once in ten thousand.
    assert sum(hits) < 40


def test_queries_without_a_positive_are_left_out() -> None:
    people = ["a", "a", "b"]
    rows = rank_queries(DenseSimilarity(symmetric(0, 3), symmetric=True), people, people, rng())
    assert [row.person for row in rows] == ["a", "a"]


def test_gallery_curve_ends_at_rank_1_and_matches_simulation() -> None:
    people = [f"p{i}" for i in range(12)]
    matrix = rng(7).random((12, 12)) + 0.4 * np.eye(12)
    rows = rank_queries(DenseSimilarity(matrix), people, people, rng())
    sizes, table = gallery_curve(rows, 12)
    assert table[:, sizes.index(12)].tolist() == [row.rank1 for row in rows]
    source = rng(8)
    for size in (2, 5):
        wins = 0
        for _ in range(3000):
            query = int(source.integers(12))
            others = source.choice([i for i in range(12) if i != query], size - 1, replace=False)
            wins += matrix[query, query] > matrix[query, others].max()
        assert table[:, sizes.index(size)].mean() == pytest.approx(wins / 3000, abs=0.03)


def test_chance_levels_of_one_positive() -> None:
    people = [f"p{i // 2}" for i in range(48)]
    rows = rank_queries(DenseSimilarity(symmetric(1, 48), symmetric=True), people, people, rng())
    levels = chance_levels(rows)
    assert levels["rank1"] == pytest.approx(1 / 47)
    assert levels["map"] == pytest.approx(sum(1 / k for k in range(1, 48)) / 47)


def test_wrong_size_is_refused() -> None:
    with pytest.raises(ClaimError, match="another size"):
        check_similarity(DenseSimilarity(np.ones((3, 4))), 3, 5, False, "x")


def test_places_of_others_are_those_of_a_loop() -> None:
    rng = np.random.default_rng(4)
    gallery, asked = list("ABCDEFG"), ["A", "B", "", "C", "A"]
    matrix = rng.random((5, 7))
    found = as_others(DenseSimilarity(matrix), asked, gallery)
    assert found[2] is None
    for row, own in enumerate(asked):
        if own:
            places = [1 + sum(matrix[row] > matrix[row, gallery.index(o)]) for o in "ABC" if o != own]
            assert found[row] == pytest.approx(np.mean([1 / place for place in places]))


def test_a_site_of_its_own_is_no_knowledge_of_who_was_mixed_in() -> None:
    """All people of the pool ahead of all others, in random order: others do as well, above chance."""
    rng = np.random.default_rng(4)
    gallery = [f"P{n}" for n in range(60)]
    asked = [f"P{n}" for n in rng.integers(0, 20, 200)]
    matrix = rng.random((200, 60)) + (np.arange(60) < 20)
    mine = np.mean([r.average_precision for r in rank_queries(DenseSimilarity(matrix), asked, gallery, rng)])
    others = np.mean([float(o or 0) for o in as_others(DenseSimilarity(matrix), asked, gallery)])
    assert mine > 1.5 * chance_levels(rank_queries(DenseSimilarity(matrix), asked, gallery, rng))["map"]
    assert mine == pytest.approx(others, abs=0.05)
