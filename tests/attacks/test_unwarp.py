"""Registration to an atlas: what it undoes, what it leaves alone, and whom it finds behind a warp."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from torch import Tensor

from privaudit import plugin
from privaudit.attack import Task
from privaudit.audit import Settings, run_audit
from privaudit.cohort import Cohort, Dataset, split_subjects
from privaudit.defense import Defense
from privaudit.deformation import draw_velocity, integrate, warp
from privaudit.knowledge import Atlas
from privaudit.patches import as_tensor
from privaudit.record import Verdict
from privaudit.scene import Scene
from privaudit.spec import parse_spec
from privaudit_attacks import registration
from privaudit_attacks.registration import Registration
from privaudit_attacks.unwarp import UnwarpAttack


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
    assert apart(Registration(atlas).register(sent)[0], atlas.mean) < 0.5 * apart(sent, atlas.mean)


def test_a_warped_stranger_is_nearer_to_the_truth_than_before(atlas: Atlas, people: list[Tensor]) -> None:
    sent = warped(people[0])
    found, _ = Registration(atlas).register(sent)
    assert apart(found, people[0]) < 0.9 * apart(sent, people[0])


@pytest.mark.parametrize(("defense", "left"), [("none", True), ("deformation", False)])
def test_only_what_was_warped_is_registered(defense: str, left: bool, tmp_path: Path) -> None:
    cohort = plugin.create("datasets", "phantom", Dataset, {"subjects": 32, "voxel_mm": 4.0}).open()
    options = {"weights": "none"} if defense == "deformation" else {}
    scheme = plugin.create("defenses", defense, Defense, options)
    scene = Scene(cohort, split_subjects(cohort.subjects, 0), scheme, 0)
    attack = UnwarpAttack()
    (protocol,) = attack.protocols(1)
    transcripts = scene.transcripts(scene.requests[:2], protocol, "audit")
    task = Task(0, torch.device("cpu"), "fast", tmp_path, lambda _: None, {}, defense=scheme)
    for sent, claim in zip(
        transcripts, attack.run(protocol, transcripts, scene.knowledge(attack, protocol), task), strict=True
    ):
        assert torch.equal(claim.image, sent.stitched()) == left


def test_what_is_held_is_nobodys_to_write_on_and_of_one_atlas(
    atlas: Atlas, people: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Registration(atlas)
    first, _ = one.register(people[0])
    kept = first.clone()
    first.zero_()
    other = Registration(Atlas(atlas.mean * 0.9, atlas.variance))
    assert not torch.equal(other.register(people[0])[0], kept)
    monkeypatch.setattr(one, "displacement", lambda _: pytest.fail("registered again"))
    assert torch.equal(one.register(people[0])[0], kept)
    registration._HELD.clear()
    assert torch.equal(Registration(atlas).register(people[0])[0], kept), "the same scan gives the same figures"


def test_whom_a_warp_hides_from_retrieval_registration_finds(tmp_path: Path) -> None:
    """A weak attack must not read as privacy: what MS-SSIM alone cannot decide is a leak."""
    data = {
        "dataset": {"name": "phantom", "subjects": 24, "voxel_mm": 4.0},
        "defense": {"name": "deformation", "weights": "none", "strength": 2.0},
        "attacks": [{"name": "reid", "protocols": ["encoded", "registered"]}],
        "utility": {"weights": "none"},
    }
    record = run_audit(parse_spec(data, "here"), Settings(out=tmp_path / "run")).record
    plain, found = (
        next(f for f in record.primary() if (f.protocol, f.metric) == (protocol, "map"))
        for protocol in ("encoded", "registered")
    )
    assert found.knowledge == ["atlas", "transcript"]
    assert found.verdict is Verdict.LEAK, found.reason
    assert plain.verdict is not Verdict.LEAK
    assert plain.estimate is not None
    assert found.estimate is not None
    assert found.estimate > plain.estimate + 0.3
