"""Registration to an atlas: what it undoes, whom it finds behind a warp, and when its silence says nothing."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from privaudit.auditing.opening import Settings
from privaudit.auditing.run import run_audit
from privaudit.auditing.scene import Scene
from privaudit.auditing.spec import parse_spec
from privaudit.contracts import plugin
from privaudit.contracts.attack import Check, Task
from privaudit.contracts.cohort import Cohort, Dataset, split_subjects
from privaudit.contracts.defense import Defense
from privaudit.imaging import registration
from privaudit.imaging.atlas import Atlas
from privaudit.imaging.deformation import draw_velocity, integrate, warp
from privaudit.imaging.patches import as_tensor
from privaudit.imaging.registration import Registration
from privaudit.results.overall import Verdict
from privaudit.scoring.scorecard import Scorecard, Scored
from privaudit.scoring.settings import ScoringSpec
from privaudit.scoring.similarity.kind import SimilarityKind
from privaudit_attacks.registered_reid import RegisteredReidAttack
from tests.records import ranked


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return plugin.create("datasets", "phantom", Dataset, {"subjects": 8, "voxel_mm": 4.0}).open()


@pytest.fixture(scope="module")
def people(cohort: Cohort) -> list[Tensor]:
    return [as_tensor(cohort.load(cohort.sessions_of(subject)[0]).image) for subject in cohort.subjects]


@pytest.fixture(scope="module")
def atlas(people: list[Tensor]) -> Atlas:
    """Of all but the first."""
    others = torch.stack(people[1:])
    return Atlas(others.mean(dim=0), others.var(dim=0))


def warped(image: Tensor, strength: float = 2.0) -> Tensor:
    x, y, z = image.shape
    velocity = draw_velocity(random.Random(3), (x, y, z), strength, 16)
    return warp(image[None], integrate(velocity))[0]


def apart(one: Tensor, two: Tensor) -> float:
    return float((one - two).square().mean().sqrt())


def test_a_warp_of_the_atlas_itself_is_undone(atlas: Atlas) -> None:
    sent = warped(atlas.mean)
    assert apart(Registration(atlas).register(sent), atlas.mean) < 0.5 * apart(sent, atlas.mean)


def test_a_warped_stranger_is_nearer_to_the_truth_than_before(atlas: Atlas, people: list[Tensor]) -> None:
    sent = warped(people[0])
    assert apart(Registration(atlas).register(sent), people[0]) < 0.9 * apart(sent, people[0])


def test_grey_values_have_no_unit(atlas: Atlas, people: list[Tensor]) -> None:
    sent = warped(people[0])
    dim = Registration(Atlas(atlas.mean / 8, atlas.variance / 64))
    torch.testing.assert_close(8 * dim.register(sent / 8), Registration(atlas).register(sent), atol=1e-5, rtol=0)


def test_rounding_does_not_grow_to_what_shows(atlas: Atlas, people: list[Tensor]) -> None:
    """Sums in another order, by another number of threads, must not change a figure."""
    sent, one = warped(people[0]), Registration(atlas)
    before = one.register(sent)
    registration._HELD.clear()
    one.mean = one.mean * (1 + 1e-15 * torch.randn(one.mean.shape, dtype=torch.float64))
    assert float((one.register(sent) - before).abs().max()) < 1e-6


def test_what_is_held_is_of_one_atlas_and_one_scan(
    atlas: Atlas, people: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Registration(atlas)
    first = one.register(people[0])
    assert not torch.equal(Registration(Atlas(atlas.mean * 0.9, atlas.variance)).register(people[0]), first)
    assert not torch.equal(one.register(people[1]), first)
    monkeypatch.setattr(registration.Registration, "_descend", lambda *_: pytest.fail("registered again"))
    kept = first.clone()
    first.zero_()
    assert torch.equal(Registration(atlas).register(people[0]), kept)


def health_of(strength: float, spacing: int, tmp_path: Path) -> list[Check]:
    cohort = plugin.create("datasets", "phantom", Dataset, {"subjects": 24, "voxel_mm": 4.0}).open()
    options = {"weights": "none", "strength": strength, "spacing": spacing}
    scheme = plugin.create("defenses", "deformation", Defense, options)
    scene = Scene(cohort, split_subjects(cohort.subjects, 0), scheme, 0)
    attack = RegisteredReidAttack()
    protocol = attack.protocols(1)[0]
    task = Task(0, torch.device("cpu"), "fast", tmp_path, lambda _: None, scheme.scheme, defense=scheme)
    return list(attack.health(protocol, scene.knowledge(attack, protocol), task))


def test_the_attack_says_where_it_cannot_undo_the_scheme(tmp_path: Path) -> None:
    assert all(check.passed for check in health_of(2.0, 16, tmp_path))
    assert not health_of(8.0, 4, tmp_path)[-1].passed, "fields finer than the control points of registration"


def test_silence_of_an_attack_that_fails_its_checks_is_no_privacy() -> None:
    n, rng = 400, np.random.default_rng(0)
    protocol = next(p for p in RegisteredReidAttack().protocols(1) if p.name == "raw-gallery")
    arms: dict[Any, Any] = {
        "audit": ranked(rng.random((n, n))),
        "planted": ranked(np.eye(n) + 0.1 * rng.random((n, n))),
    }
    card = Scorecard(ScoringSpec(resamples=200), 0, n)
    verdicts = {}
    for passed in (True, False):
        check = Check("residual", 1.0, "at most 1.5", passed)
        found = SimilarityKind().findings(Scored(RegisteredReidAttack(), protocol, arms, 1.0, (check,)), [], card)
        verdicts[passed] = next(f.verdict for f in found if f.role == "primary")
    assert verdicts == {True: Verdict.NO_LEAK_DETECTED, False: Verdict.INCONCLUSIVE}


def test_whom_a_warp_hides_from_retrieval_registration_finds(tmp_path: Path) -> None:
    """A weak attack must not read as privacy: what MS-SSIM alone cannot decide is a leak."""
    data = {
        "dataset": {"name": "phantom", "subjects": 24, "sessions": 2, "voxel_mm": 4.0},
        "defense": {"name": "deformation", "weights": "none", "strength": 2.0},
        "attacks": [{"name": name, "protocols": ["encoded"]} for name in ("reid", "registered-reid")],
        "utility": {"weights": "none"},
        "controls": "single",
    }
    record = run_audit(parse_spec(data, "here"), Settings(out=tmp_path / "run")).record
    plain, found = (
        next(f for f in record.primary() if (f.attack, f.metric) == (name, "map"))
        for name in ("reid", "registered-reid")
    )
    assert found.knowledge == ["atlas", "population", "transcript"]
    assert found.verdict is Verdict.LEAK, found.reason
    assert plain.verdict is not Verdict.LEAK
    assert plain.estimate is not None
    assert found.estimate is not None
    assert found.estimate > plain.estimate + 0.3
