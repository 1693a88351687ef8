"""Random rankings: their mean is the chance level, and a leak is told from them."""

import itertools

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from privaudit.msssim import DenseSimilarity
from privaudit.scoring.similarity.random_ranks import Query, random_map, share_reaching
from privaudit.scoring.similarity.ranks import QueryRanks, chance_levels, rank_queries
from privaudit.scoring.verdicts import RANDOM_P


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def among_each_other(people: list[str], signal: float = 0.0, seed: int = 0) -> list[QueryRanks]:
    n = len(people)
    matrix = rng(seed).random((n, n))
    matrix = np.triu(matrix, 1) + np.triu(matrix, 1).T
    owners = np.array(people)
    matrix += signal * (owners[:, None] == owners[None, :])
    return rank_queries(DenseSimilarity(matrix, symmetric=True), people, people, rng(seed))


def map_of(ranks: list[QueryRanks]) -> float:
    return float(np.mean([rank.average_precision for rank in ranks]))


TWICE = [f"P{n // 2}" for n in range(48)]
UNEVEN = ["A", "A", "A", "B", "B", "C", "D", "D", "D", "D", "E"]


@pytest.mark.parametrize("people", [TWICE, UNEVEN])
def test_the_mean_of_random_rankings_is_the_chance_level(people: list[str]) -> None:
    ranks = among_each_other(people)
    found = random_map(ranks, True, 4000, rng(1))
    assert found.mean() == pytest.approx(chance_levels(ranks)["map"], abs=4 * found.std() / np.sqrt(4000))


def test_a_gallery_of_one_scan_each_is_enumerated() -> None:
    people = ["A", "B", "C"]
    ranks = rank_queries(DenseSimilarity(rng().random((3, 3))), people, people, rng())
    found = random_map(ranks, False, 20000, rng(1))
    exact = [np.mean(combination) for combination in itertools.product([1, 1 / 2, 1 / 3], repeat=3)]
    for value in set(np.round(exact, 9)):
        share = float(np.mean(np.abs(found - value) < 1e-8))
        assert share == pytest.approx(np.mean(np.abs(np.array(exact) - value) < 1e-8), abs=0.02)


def test_real_rankings_of_noise_look_like_random_ones() -> None:
    """p is uniform under the null: the simulation is of the ranking that is scored."""
    found = random_map(among_each_other(TWICE), True, 2000, rng(1))
    p = [share_reaching(found, map_of(among_each_other(TWICE, seed=seed))) for seed in range(200)]
    assert np.mean(np.array(p) <= 0.1) == pytest.approx(0.1, abs=0.065)  # three standard errors of 200
    assert sum(value <= RANDOM_P for value in p) <= 2


def test_a_leak_of_thirty_per_cent_is_found_by_two_dozen_people() -> None:
    found = random_map(among_each_other(TWICE), True, 5000, rng(1))
    maps = np.array([map_of(among_each_other(TWICE, 0.21, seed)) for seed in range(200)])
    assert maps.mean() == pytest.approx(0.3, abs=0.02)
    caught = [value - found.mean() > 0.05 and share_reaching(found, value) <= RANDOM_P for value in maps]
    assert np.mean(caught) >= 0.8


def test_a_share_is_never_nothing() -> None:
    assert share_reaching(np.zeros(999), 1.0) == pytest.approx(0.001)
    assert share_reaching(np.ones(999), 1.0) == 1.0


@pytest.mark.parametrize("fixed", [True, False])
def test_one_answer_for_all_queries_of_a_person_is_no_leak(fixed: bool) -> None:
    """Forty-eight queries of twelve people: answered alike for everybody, or for each person, p is small by chance."""
    people = rng(2).integers(12, size=48)
    gallery = [f"C{n}" for n in range(24)]
    p: list[float] = []
    null = np.empty(0)
    for seed in range(300):
        owners = [f"C{n}" for n in rng(seed).permutation(24)[people]]
        scores = rng(seed + 1000).random((1 if fixed else 12, 24))
        ranks = rank_queries(DenseSimilarity(scores[people * (not fixed)]), owners, gallery, rng(seed))
        null = null if len(null) else random_map(ranks, False, 2000, rng(1), alike=True)
        p.append(share_reaching(null, map_of(ranks)))
    assert np.mean(np.array(p) <= 0.1) < 0.1 + 0.053  # three standard errors of 300
    assert sum(value <= RANDOM_P for value in p) <= 3
    apart = random_map(ranks, False, 2000, rng(1))
    assert null.std() > 1.5 * apart.std()


@pytest.mark.parametrize("others", [0, 3])
def test_each_draw_is_scored_as_a_ranking_is(others: int) -> None:
    people = ["a", "a", "a", "b", "b"]
    queries = [Query(person, people.count(person) - 1, len(people) - 1 + others) for person in people]
    found = random_map(queries, True, 3, rng(7))
    source = rng(7)
    for value in found:
        scores = np.triu(source.random((5, 5)), 1)
        scores = np.concatenate([scores + scores.T, source.random((5, others))], axis=1)
        same = np.array([[a == b for b in people] + [False] * others for a in people])
        kept = ~np.eye(5, 5 + others, dtype=bool)
        mine = [average_precision_score(s[k], c[k]) for s, c, k in zip(same, scores, kept, strict=True)]
        assert value == pytest.approx(np.mean(mine))
