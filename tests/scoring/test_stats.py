"""Intervals and chance levels against closed forms and simulation."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats
from sklearn.metrics import average_precision_score

from privaudit.scoring.scorecard import Scorecard
from privaudit.scoring.settings import ScoringSpec
from privaudit.scoring.similarity.findings import no_wider
from privaudit.scoring.stats import (
    chance_average_precision,
    chance_rank,
    clopper_pearson,
    cluster_interval,
    within,
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_interval_of_independent_values_is_students() -> None:
    values = rng(1).normal(size=40)
    low, high = cluster_interval(values, [str(i) for i in range(40)], rng(), resamples=20000) or (0, 0)
    student = scipy_stats.t.interval(0.95, 39, loc=values.mean(), scale=scipy_stats.sem(values))
    assert low == pytest.approx(student[0], abs=0.04)
    assert high == pytest.approx(student[1], abs=0.04)


def test_coverage_on_few_subjects_with_repeated_scans() -> None:
    """Subjects differ more than their scans: an interval that ignored it would cover far less than it says."""
    hits = 0
    trials = 400
    source = rng(2)
    people = [str(i // 3) for i in range(36)]
    for _ in range(trials):
        values = np.repeat(source.normal(size=12), 3) + 0.1 * source.normal(size=36)
        low, high = cluster_interval(values, people, source, resamples=600) or (0, 0)
        hits += low <= 0 <= high
    # Between 92 % and 98 %: three standard errors of 400 trials around 95 %.
    assert 0.917 <= hits / trials <= 0.983


def test_all_misses_still_have_a_width() -> None:
    low, high = cluster_interval(np.zeros(24), [str(i) for i in range(24)], rng(), exact=True) or (0, 0)
    assert low == 0
    assert high == pytest.approx(1 - 0.025 ** (1 / 24))


def test_one_subject_has_no_interval() -> None:
    assert cluster_interval(np.ones(5), ["a"] * 5, rng()) is None


def test_same_generator_same_interval() -> None:
    values = rng(3).normal(size=20)
    people = [str(i) for i in range(20)]
    assert cluster_interval(values, people, rng(4)) == cluster_interval(values, people, rng(4))


@given(st.integers(1, 60), st.data())
def test_clopper_pearson_is_scipys(n: int, data: st.DataObject) -> None:
    hits = data.draw(st.integers(0, n))
    expected = scipy_stats.binomtest(hits, n).proportion_ci(0.95, "exact")
    assert clopper_pearson(hits / n, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


@pytest.mark.parametrize(("positives", "gallery"), [(1, 5), (2, 5), (3, 6), (4, 4)])
def test_chance_levels_are_means_over_all_orders(positives: int, gallery: int) -> None:
    precision, precision2, rank1, rank2 = [], [], [], []
    scores = np.arange(gallery, 0, -1)
    for where in itertools.combinations(range(gallery), positives):
        relevant = np.isin(np.arange(gallery), where)
        precision.append(average_precision_score(relevant, scores))
        at = [relevant[: k + 1].mean() for k in range(2) if relevant[k]]
        precision2.append(sum(at) / min(positives, 2))
        rank1.append(relevant[0])
        rank2.append(relevant[:2].any())
    assert chance_average_precision(positives, gallery) == pytest.approx(np.mean(precision))
    assert chance_average_precision(positives, gallery, 2) == pytest.approx(np.mean(precision2))
    assert chance_rank(1, positives, gallery) == pytest.approx(np.mean(rank1))
    assert chance_rank(2, positives, gallery) == pytest.approx(np.mean(rank2))


ENDS = st.floats(-50, 50)


@given(ENDS, ENDS, st.floats(-5, 0), st.floats(0.1, 5), st.floats(0, 1))
def test_cutting_at_what_is_possible_loses_nothing_that_could_be_true(
    one: float, other: float, least: float, greatest: float, share: float
) -> None:
    low, high = sorted((one, other))
    cut = within((low, high), least, greatest)
    assert cut is not None
    assert least <= cut[0] <= cut[1] <= greatest
    possible = least + share * (greatest - least)
    if low <= possible <= high:
        assert cut[0] <= possible <= cut[1]
    if least <= low and high <= greatest:
        assert cut == (low, high)


def test_three_people_have_no_interval_beyond_what_can_be() -> None:
    """Two alike and one apart: the standard error of a resample is near nought, and the bootstrap-t flies off."""
    values = np.array([0.95, 0.951, 0.2])
    free = cluster_interval(values, ["a", "b", "c"], rng(), resamples=500)
    assert free is not None
    assert free[0] < -1
    assert within(free, 0, 1) == (0, min(1, free[1]))


def test_few_hits_among_many_people_have_an_interval_that_ends() -> None:
    """A bootstrap-t of rank-1 alone has no end there."""
    card = Scorecard(ScoringSpec(), seed=0, people=200)
    owners = [f"P{n}" for n in range(200)]
    values = np.zeros(400)
    values[[0, 2, 4]] = 1.0
    people = [owner for owner in owners for _ in range(2)]
    alone = card.interval(values, people, True, "rank1")
    ends = no_wider(alone, card.betting(values, people, "rank1"), float(values.mean()))
    assert alone is not None
    assert ends is not None
    assert alone[1] > 0.5
    assert alone[0] <= ends[0] <= values.mean() <= ends[1] < 0.05
