"""Claims about age and sex: figures as of scikit-learn, which claims can be scored, and what findings say of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import r2_score, roc_auc_score

from privaudit.contracts.attack import Attack, Protocol
from privaudit.contracts.claims import Attributes, LabelMap
from privaudit.contracts.knowledge import Rung
from privaudit.errors import ClaimError
from privaudit.results.overall import Verdict
from privaudit.results.record import Finding
from privaudit.scoring.attributes.figures import auc_values, r2_values
from privaudit.scoring.attributes.kind import AttributeKind
from privaudit.scoring.kind import Asked
from privaudit.scoring.scorecard import Scorecard, Scored
from privaudit.scoring.settings import ScoringSpec
from privaudit.scoring.stats import cluster_interval
from privaudit_attacks.attributes import AttributesAttack
from privaudit_attacks.mean_attributes import MeanAttributesAttack

LOOKS = Protocol("encoded", frozenset({Rung.TRANSCRIPT, Rung.POPULATION}))
BLIND = Protocol("default", frozenset({Rung.POPULATION}))


@given(st.integers(0, 10_000), st.integers(4, 40), st.booleans())
def test_the_means_are_r2_and_auc_of_scikit_learn(seed: int, n: int, ties: bool) -> None:
    rng = np.random.default_rng(seed)
    truth, claimed = rng.normal(50, 10, n), rng.normal(50, 10, n)
    second = rng.permutation(np.arange(n) < rng.integers(1, n))
    score = rng.integers(0, 4, n).astype(float) if ties else rng.normal(size=n)
    assert r2_values(truth, claimed).mean() == pytest.approx(r2_score(truth, claimed))
    assert auc_values(second, score).mean() == pytest.approx(roc_auc_score(second, score))


def test_influences_are_what_leaving_somebody_out_does() -> None:
    """The infinitesimal jackknife is near the plain one."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=200)
    claimed, second = 0.6 * truth + rng.normal(size=200), truth + rng.normal(size=200) > 0
    cases: list[tuple[Any, Callable[[Any], float]]] = [
        (r2_values(truth, claimed), lambda keep: r2_score(truth[keep], claimed[keep])),
        (auc_values(second, claimed), lambda keep: roc_auc_score(second[keep], claimed[keep])),
    ]
    for values, figure in cases:
        whole = figure(np.arange(200))
        left_out = np.array([199 * (whole - figure(np.delete(np.arange(200), i))) for i in range(200)])
        np.testing.assert_allclose(values - values.mean(), left_out - left_out.mean(), rtol=0.05, atol=0.05)


def test_what_intervals_reach() -> None:
    """Of 60 people in 300 made-up audits, the interval holds the true figure in at least 91 of 100."""
    rng, hits = np.random.default_rng(1), np.zeros(2)
    people = [str(n) for n in range(60)]
    for _ in range(300):
        truth = rng.normal(size=60)
        claimed = 0.5 * truth + rng.normal(size=60) * 0.5  # R² 0.5
        second = np.arange(60) < 30
        score = rng.normal(size=60) + 0.7416 * second  # AUC 0.7
        for which, (values, true) in enumerate(((r2_values(truth, claimed), 0.5), (auc_values(second, score), 0.7))):
            ci = cluster_interval(values, people, rng, resamples=500)
            assert ci is not None
            hits[which] += ci[0] <= true <= ci[1]
    assert (hits / 300 > 0.91).all(), hits / 300


class Told:
    """Secrets of some requests, one of each person."""

    def __init__(self, known: Sequence[Mapping[str, float | str]]) -> None:
        self.cohort: Any = SimpleNamespace(shape=(1, 1, 1))
        self.known = {f"r{n:03d}": attributes for n, attributes in enumerate(known)}

    def attributes(self, request: str) -> Mapping[str, float | str]:
        return self.known[request]

    def person(self, request: str) -> str:
        return request.replace("r", "P")


def rows_of(told: Told, claims: Sequence[Any], attack: Attack | None = None) -> list[dict[str, Any]]:
    asked = Asked(
        attack or AttributesAttack(), LOOKS, tuple(told.known), told, None, 0, lambda _: None  # type: ignore[arg-type]
    )  # fmt: skip
    return list(AttributeKind().score(claims, asked))


def claims_of(ages: Iterable[float], males: Iterable[float]) -> list[Attributes]:
    return [
        Attributes(f"r{n:03d}", {"age": float(age)}, {"sex": {"F": 1 - male, "M": male}})
        for n, (age, male) in enumerate(zip(ages, males, strict=True))
    ]


def people(n: int, seed: int = 0, males: int | None = None) -> tuple[Told, Any, Any]:
    rng = np.random.default_rng(seed)
    age = rng.uniform(20, 80, n).round(1)
    male = np.arange(n) < (n // 2 if males is None else males)
    return Told([{"age": float(a), "sex": "M" if m else "F"} for a, m in zip(age, male, strict=True)]), age, male


def findings(
    told: Told, claims: Sequence[Attributes], planted: Sequence[Attributes], **more: Any
) -> dict[str, Finding]:
    mean = claims_of([50.0] * len(told.known), [0.5] * len(told.known))
    beside = Scored(MeanAttributesAttack(), BLIND, {"audit": rows_of(told, mean, MeanAttributesAttack())}, 1.0)
    mine = Scored(AttributesAttack(), LOOKS, {"audit": rows_of(told, claims), "planted": rows_of(told, planted)}, 1.0)
    card = Scorecard(ScoringSpec(resamples=1000), 0, len(told.known), **more)
    return {f.metric: f for f in AttributeKind().findings(mine, [beside], card)}


def test_a_leak_is_found_and_stands_beside_the_mean() -> None:
    told, age, male = people(40)
    rng = np.random.default_rng(1)
    found = findings(told, claims_of(age + rng.normal(0, 8, 40), male + rng.normal(0, 0.3, 40)), claims_of(age, male))
    for metric, usual in (("age_r2", 0.0), ("sex_auc", 0.5)):
        finding = found[metric]
        assert (finding.verdict, finding.role, finding.n_subjects) == (Verdict.LEAK, "primary", 40)
        assert finding.baseline is not None
        assert finding.baseline.name == "mean-attributes"
        assert finding.baseline.estimate == pytest.approx(usual, abs=0.05)
        assert finding.control is not None
        assert finding.control.passed
    assert found["age_r2"].table == "tables/attributes.encoded.csv"
    assert findings(told, claims_of(age, male), claims_of(age, male), shareable=False)["age_r2"].table is None


def test_claims_without_any_meaning_are_no_leak() -> None:
    verdicts = []
    for seed in range(20):
        told, age, male = people(60, seed)
        rng = np.random.default_rng(100 + seed)
        found = findings(told, claims_of(rng.normal(50, 3, 60), rng.random(60)), claims_of(age, male))
        verdicts += [finding.verdict for finding in found.values()]
    assert Verdict.LEAK not in verdicts


def test_who_claims_the_mean_passes_where_the_planted_leak_was_found_and_not_otherwise() -> None:
    told, age, male = people(60)
    mean = claims_of([50.0] * 60, [0.5] * 60)
    assert findings(told, mean, claims_of(age, male))["age_r2"].verdict is Verdict.NO_LEAK_DETECTED
    missed = findings(told, mean, mean)["age_r2"]
    assert missed.verdict is Verdict.INCONCLUSIVE
    assert "missed the planted leak" in missed.reason


def test_few_people_decide_nothing_and_neither_do_few_of_one_sex() -> None:
    told, age, male = people(8)
    few = findings(told, claims_of(age, male), claims_of(age, male))
    assert {finding.verdict for finding in few.values()} == {Verdict.INCONCLUSIVE}
    told, age, male = people(40, males=3)
    found = findings(told, claims_of(age, male), claims_of(age, male))
    assert found["age_r2"].verdict is Verdict.LEAK
    assert found["sex_auc"].verdict is Verdict.INCONCLUSIVE
    assert "3 of 40 people are of the rarer sex" in found["sex_auc"].notes
    assert found["sex_auc"].ci != (1.0, 1.0)  # a perfect order of few people is not known exactly


def test_what_is_not_known_is_left_out() -> None:
    told = Told([{"age": 30.0}, {"age": 40.0, "sex": "M"}, {}, {"sex": "F"}, {"age": 60.0, "sex": "F"}])
    rows = rows_of(told, claims_of([31, 45, 50, 55, 58], [0.5, 0.9, 0.5, 0.2, 0.1]))
    assert [("age_r2" in row, "sex_auc" in row) for row in rows] == [
        (True, False), (True, True), (False, False), (False, True), (True, True),
    ]  # fmt: skip
    ages = [row["age_r2"] for row in rows if "age_r2" in row]
    assert np.mean(ages) == pytest.approx(r2_score([30, 40, 60], [31, 45, 58]), abs=1e-6)
    nobody = Told([{}, {"age": 30.0}, {"age": 30.0, "sex": "M"}])
    assert all(set(row) == {"request", "person"} for row in rows_of(nobody, claims_of([1, 2, 3], [0, 1, 0])))


def test_rows_state_no_age_and_no_sex() -> None:
    told, age, male = people(12)
    rows = rows_of(told, claims_of(age + 3, male))
    assert set(rows[0]) == {"request", "person", "age_r2", "sex_auc", "sex_rarer"}
    assert not {float(row["age_r2"]) for row in rows} & {float(a) for a in age}


def test_claims_that_cannot_be_scored_are_refused() -> None:
    told, age, male = people(3)
    good = claims_of(age, male)
    with pytest.raises(ClaimError, match="left 1 of 3 requests unanswered"):
        rows_of(told, good[:2])
    for bad in (good[0], LabelMap("r000", np.zeros((1, 1, 1), int)), Attributes("r999")):
        with pytest.raises(ClaimError, match="was not asked"):
            rows_of(told, [*good, bad])
    with pytest.raises(ClaimError, match="claims ages of some requests and not of others"):
        rows_of(told, [*good[:2], Attributes("r002", {}, good[2].shares)])
    with pytest.raises(ClaimError, match="not finite"):
        rows_of(told, [*good[:2], Attributes("r002", {"age": float("nan")}, good[2].shares)])


def test_power_is_told_in_sentences() -> None:
    lines = AttributeKind().power(60, 1, ScoringSpec(), np.random.default_rng(0))
    assert len(lines) == 3
    assert "passes in 95 of 100 audits from about" in lines[-1]
