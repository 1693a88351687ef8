"""``attributes``: age and sex out of encodings, of nobody but whom they are encodings of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from privaudit.auditing.opening import Settings
from privaudit.auditing.run import run_audit
from privaudit.auditing.scene import Scene
from privaudit.auditing.spec import parse_spec
from privaudit.contracts import plugin
from privaudit.contracts.attack import Attack, Protocol
from privaudit.contracts.cohort import Cohort, Dataset, split_subjects
from privaudit.contracts.defense import Defense
from privaudit.contracts.knowledge import Rung
from privaudit.errors import DataError, KnowledgeError
from privaudit.learning.attributes import learn_class, learn_number, principal
from privaudit.results.overall import Verdict
from privaudit.results.record import Record

Blobs = Callable[..., dict[str, Any]]
RETURNED = {"name": "attributes", "protocols": ["returned"], "views": [1]}


def audit(data: dict[str, Any], run: Path) -> Record:
    record = run_audit(parse_spec(data, "test"), Settings(out=run)).record
    assert not record.missing, record.missing
    return record


@pytest.mark.slow
def test_planted_attributes_of_virtual_people_are_found(tmp_path: Path) -> None:
    phantom = {"name": "phantom", "subjects": 44, "sessions": 1, "voxel_mm": 4, "attributes": "planted"}
    data = {
        "dataset": phantom, "defense": "none", "attacks": [RETURNED], "utility": {"weights": "none"},
        "split": {"victims": 0.45, "pool": 0.05, "population": 0.5}, "controls": "single",
    }  # fmt: skip
    record = run_audit(parse_spec(data, "test"), Settings(out=tmp_path / "run", cache=tmp_path)).record
    found = {finding.metric: finding for finding in record.primary()}
    assert found["sex_auc"].verdict is Verdict.LEAK, found["sex_auc"].reason
    assert (found["sex_auc"].estimate or 0) > 0.95
    # Twenty victims say little of an R²; on own people who were left out it shows that age is found.
    assert (found["age_r2"].details["own_age_r2"] or 0) > 0.3


def test_an_attack_gets_what_is_known_of_its_own_people_and_of_nobody_else(
    thirdparty: Path, blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = plugin.create("datasets", "blobs", Dataset, {"subjects": 24}).open()
    scene = Scene(cohort, split_subjects(cohort.subjects, 0), plugin.create("defenses", "none", Defense), 0)
    attack = plugin.create("attacks", "attributes", Attack)
    for protocol in attack.protocols(1):
        known = scene.knowledge(attack, protocol).attributes
        assert list(known) == [cohort.attributes(person) for person in scene.split.population]
    with pytest.raises(KnowledgeError, match="asked for 'population' knowledge"):
        _ = scene.knowledge(attack, Protocol("x", frozenset(Rung) - {Rung.POPULATION})).attributes


def test_victims_attributes_change_no_claim(blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were theirs others, or not known, the attack would say the same: it cannot have looked."""
    cls = plugin.load("attacks", "attributes", Attack)
    run: Callable[..., Any] = cls.run
    claims: list[list[Any]] = []

    def noted(self: Any, *asked: Any) -> Any:
        for claim in run(self, *asked):
            claims[-1].append((claim.request, dict(claim.numbers), {k: dict(v) for k, v in claim.shares.items()}))
            yield claim

    monkeypatch.setattr(cls, "run", noted)
    data = blobs("none", [RETURNED], dataset={"subjects": 48, "sessions": 1})
    own = split_subjects([f"b{n:03d}" for n in range(48)], 0).population
    blob_cohort = type(plugin.create("datasets", "blobs", Dataset, {"subjects": 24}).open())
    true = blob_cohort.attributes
    for name, other in (("true", true), ("others", lambda self, who: true(self, who if who in own else own[0]))):
        monkeypatch.setattr(blob_cohort, "attributes", other)
        claims.append([])
        run_audit(parse_spec(data, "test"), Settings(out=tmp_path / name))
    assert claims[0] == claims[1]
    assert len(claims[0]) == 48


def test_nothing_about_a_person_is_written_where_it_may_not_be_told(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = type(plugin.create("datasets", "blobs", Dataset, {"subjects": 24}).open())
    data = blobs("none", [RETURNED, "as-is"], dataset={"subjects": 48, "sessions": 1})
    audit(data, tmp_path / "told")
    assert (tmp_path / "told" / "tables" / "attributes.returned.csv").is_file()
    monkeypatch.setattr(cls, "shareable", False)
    record = audit(data, tmp_path / "kept")
    assert [file.name for file in (tmp_path / "kept" / "tables").iterdir() if "attributes" in file.name] == []
    assert (tmp_path / "kept" / "tables" / "as-is.default.csv").is_file()
    assert {f.table for f in record.findings if "attributes" in f.attack} == {None}


def test_people_of_whom_something_is_missing_are_left_out(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls: type[Cohort] = type(plugin.create("datasets", "blobs", Dataset, {"subjects": 24}).open())
    true = cls.attributes

    def some(self: Any, subject: str) -> Any:
        number, known = int(subject[1:]), dict(true(self, subject))
        return {} if number % 5 == 0 else known if number % 5 > 1 else {"age": known["age"]}

    monkeypatch.setattr(cls, "attributes", some)
    data = blobs("none", [RETURNED], dataset={"subjects": 80, "sessions": 1})
    record = audit(data, tmp_path / "run")
    found = {finding.metric: finding for finding in record.primary()}
    assert found["sex_auc"].n_subjects < found["age_r2"].n_subjects < 40
    assert {finding.verdict for finding in found.values()} == {Verdict.LEAK}


def test_where_nobodys_are_known_it_says_so(blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(plugin.create("datasets", "blobs", Dataset, {}).open()), "attributes", lambda *_: {})
    with pytest.raises(DataError, match="in 'blobs' nobody's is; fill in age and sex in participants.tsv"):
        audit(blobs("none", [RETURNED]), tmp_path / "run")


def test_too_few_own_people_are_no_ground_for_silence(blobs: Blobs, tmp_path: Path) -> None:
    record = audit(blobs("none", [RETURNED], dataset={"subjects": 24}), tmp_path / "run")
    assert {finding.verdict for finding in record.primary()} == {Verdict.INCONCLUSIVE}
    assert {check.name: check.passed for check in record.health}["own people whose age is known"] is False


def test_a_number_and_a_class_are_learned_and_noise_is_not() -> None:
    rng = np.random.default_rng(0)
    people = np.repeat(np.arange(40), 3)
    who = rng.normal(size=(40, 3))
    features = who[people] + 0.1 * rng.normal(size=(120, 3))
    number = learn_number(features, (50 + 10 * who[:, 0])[people], people)
    assert (number.own or 0) > 0.9
    assert number(np.array([1.0, 0.0, 0.0])) == pytest.approx(60, abs=2)
    second = learn_class(features, (who[:, 1] > 0)[people], people, 0)
    assert (second.own or 0) > 0.9
    assert second(np.array([0.0, 2.0, 0.0])) > 0.9
    nothing = learn_number(rng.normal(size=(120, 3)), (50 + 10 * who[:, 0])[people], people)
    assert (nothing.own or 0) < 0.1
    few = learn_class(features[:9], np.arange(9) < 3, people[:9], 0)
    assert few.own is None
    assert few(features[0]) == pytest.approx(1 / 3)


def test_principal_components_are_those_of_the_volumes_and_none_of_equal_ones() -> None:
    rng = np.random.default_rng(0)
    volumes = rng.normal(size=(6, 50))
    read = principal(volumes, 4)
    found = read(volumes)
    assert found.shape == (6, 4)
    centred = volumes - volumes.mean(axis=0)
    np.testing.assert_allclose(np.linalg.svd(centred)[1][:4], np.linalg.norm(found, axis=0))
    assert principal(np.ones((6, 50)), 4)(volumes).shape == (6, 0)
