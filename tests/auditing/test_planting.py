"""A planted leak is inside the scheme that an attacker is given, and is what the transcripts hold."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from privaudit.auditing.opening import Settings
from privaudit.auditing.planting import Planted, plant
from privaudit.auditing.run import run_audit
from privaudit.auditing.scene import Scene
from privaudit.auditing.spec import parse_spec
from privaudit.contracts import plugin
from privaudit.contracts.attack import Attack, Protocol
from privaudit.contracts.cohort import Dataset, split_subjects
from privaudit.contracts.defense import Defense
from privaudit.contracts.knowledge import Rung
from privaudit.imaging.patches import as_tensor, one_hot
from privaudit.results.baseline import make_baseline
from privaudit.results.gate import check
from privaudit.results.overall import Verdict
from privaudit.results.record import Control
from privaudit.scoring.arms import Arm, detection_limit
from tests import records as made_up

SCHEMES: list[tuple[str, dict[str, Any]]] = [
    ("none", {}), ("pure-noise", {}), ("mixup", {"patch_size": 16}), ("deformation", {"weights": "none"}),
]  # fmt: skip


@pytest.fixture
def scenes(thirdparty: Path) -> dict[str, Scene]:
    cohort = plugin.create("datasets", "blobs", Dataset, {"subjects": 8}).open()
    split = split_subjects(cohort.subjects, 0)
    return {
        name: Scene(cohort, split, plugin.create("defenses", name, Defense, options).fitted(cohort, split.victims), 0)
        for name, options in SCHEMES
    }


@pytest.mark.parametrize("name", [name for name, _ in SCHEMES])
@pytest.mark.parametrize("arm", ["planted", "planted-reference"])
def test_what_the_attacker_is_given_is_what_sends(name: str, arm: Arm, scenes: dict[str, Scene]) -> None:
    scene = scenes[name]
    if arm == "planted-reference" and not scene.has_bystanders:
        pytest.skip("nobody is mixed in")
    request = scene.requests[0]
    volume, key, _ = scene.client_side(request, 1)
    scheme = scene.scheme_of(arm)
    sent = scheme.encode(as_tensor(volume.image), key, 1)
    transcript = scene.transcript(request, arm=arm, returned=True)
    torch.testing.assert_close(sent.views, transcript.views)
    assert transcript.returned is not None
    labels = one_hot(volume.labels, max(scene.cohort.label_names) + 1)
    torch.testing.assert_close(scheme.respond(labels, key, 1), transcript.returned)
    assert not torch.equal(sent.views, scene.transcript(request).views) or name == "none"


def test_shares_are_graded_and_another_share_is_another_scheme(scenes: dict[str, Scene]) -> None:
    scene = scenes["pure-noise"]
    volume, key, _ = scene.client_side(scene.requests[0], 1)
    image = as_tensor(volume.image)
    alike = []
    for share in (0.0, 0.1, 0.5, 1.0):
        planted = Planted(scene.defense, share)
        found = planted.encode(image, key, 1).views[0, 0]
        alike.append(float(torch.corrcoef(torch.stack([found.flatten(), image.flatten()]))[0, 1]))
        assert planted.params["share"] == share
    assert alike == sorted(alike)
    assert alike[0] == pytest.approx(0, abs=0.05)
    assert alike[-1] == pytest.approx(1)
    assert torch.equal(Planted(scene.defense, 1.0).encode(image, key, 1).views[0, 0], image)


def test_weights_tell_what_is_planted(scenes: dict[str, Scene]) -> None:
    """A planted leak is one more mixture: the weights on an arm explain what is sent."""
    scene = scenes["mixup"]
    request = scene.requests[0]
    attack = plugin.create("attacks", "as-is", Attack)
    protocol = Protocol("x", frozenset({Rung.TRANSCRIPT, Rung.WEIGHTS}))
    before = scene.knowledge(attack, protocol, "audit").weights(request)
    np.testing.assert_allclose(scene.knowledge(attack, protocol, "planted").weights(request), 0.9 + 0.1 * before)
    np.testing.assert_allclose(scene.knowledge(attack, protocol, "planted-reference").weights(request), 0.1 * before)


def test_an_attacker_draws_keys_from_it_like_from_any_scheme(scenes: dict[str, Scene]) -> None:
    scene = scenes["mixup"]
    planted, pool = scene.scheme_of("planted"), [scene.population[1]]
    image = as_tensor(scene.population[0].image)
    key = planted.draw_key(scene.cohort.shape, pool, random.Random(1))
    same = scene.defense.draw_key(scene.cohort.shape, pool, random.Random(1))
    sent = scene.defense.encode(image, same, 1)
    assert planted.mixing == scene.defense.mixing
    assert planted.owners(key) == (0,)
    expected = plant(sent.views, Planted(scene.defense, 1.0).encode(image, key, 1).views, 0.9)
    torch.testing.assert_close(planted.encode(image, key, 1).views, expected)


def test_graded_controls_give_a_detection_limit(blobs: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    """On noise, whose scheme tells nothing: from which share on is a leak noticed?"""
    data = blobs("pure-noise", ["average", "reid"], dataset={"subjects": 32}, controls="graded")
    record = run_audit(parse_spec(data, "test"), Settings(out=tmp_path / "run")).record
    for finding in record.primary():
        assert finding.control is not None
        assert list(finding.control.found) == ["0.5", "0.2", "0.1", "0.05", "0.02"]
        assert finding.control.limit is not None
        found = {0.9: finding.control.passed, **{float(k): v for k, v in finding.control.found.items()}}
        assert finding.control.limit == detection_limit(found)
        if finding.verdict is Verdict.NO_LEAK_DETECTED:
            assert f"would have noticed {finding.control.limit:.0%} of the raw image" in finding.reason
    limits = {finding.attack: finding.control.limit for finding in record.primary() if finding.control}
    assert limits["reid"] is not None
    assert limits["reid"] <= 0.2, "a similarity of whole volumes averages noise away"
    baseline = make_baseline(record)
    assert {item.key.split("/")[0]: item.limit for item in baseline.findings}["reid"] is not None


def test_a_worse_detection_limit_is_no_pass() -> None:
    found = Control(description="", estimate=0.9, difference=0.3, ci=(0.2, 0.4), passed=True, limit=0.05)
    then = made_up.record(made_up.finding(control=found))
    assert check(then, make_baseline(then)).exit_code == 0
    for limit in (0.2, None):
        now = made_up.record(made_up.finding(control=found.model_copy(update={"limit": limit})))
        assert check(now, make_baseline(then)).exit_code == 3
    better = made_up.record(made_up.finding(control=found.model_copy(update={"limit": 0.02})))
    assert check(better, make_baseline(then)).exit_code == 0
