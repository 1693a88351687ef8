"""Adversarial trainings: who plays against whom, what a collapsed game is called, and that a kill loses nothing."""

from __future__ import annotations

import random
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from privaudit.auditing.scene import Scene
from privaudit.contracts import plugin
from privaudit.contracts.cohort import Dataset, split_subjects
from privaudit.contracts.defense import Defense
from privaudit.errors import DataError, OptionError
from privaudit.imaging.deformation import coarse_shape, integrate, jacobian, resize, warp
from privaudit.learning.discriminator import SiameseNet, identity_loss
from privaudit.segmentation.clients import KEY_SIZE, ProxyEncoder, VelocityGenerator
from privaudit.segmentation.deformation import DeformationTraining
from privaudit.segmentation.opening import open_training
from privaudit.segmentation.options import TrainSpec, parse_train_spec
from privaudit.segmentation.privacy_net import PrivacyNetTraining
from privaudit.segmentation.rivals import RivalTraining
from privaudit.segmentation.weights import load_weights

pytestmark = pytest.mark.usefixtures("thirdparty")
BOTH = pytest.mark.parametrize("defense", ["privacy-net", "deformation"])


def spec(defense: str, sessions: int = 2, flat: bool = False, **train: Any) -> TrainSpec:
    options = {
        "steps": 4, "batch": 4, "validate_every": 2, "checkpoint_every": 2, "validation_batches": 1,
        "validation": 0.34, **train,
    }  # fmt: skip
    dataset = {"name": "blobs", "subjects": 12, "sessions": sessions, "flat": flat}
    return parse_train_spec({"dataset": dataset, "defense": defense, "train": options}, "test")


def opened(folder: Path, defense: str, **train: Any) -> RivalTraining:
    (training,) = open_training(spec(defense, **train), folder, device="cpu", command="privaudit train")
    assert isinstance(training, RivalTraining)
    return training


def moved(before: dict[str, torch.Tensor], module: nn.Module) -> set[str]:
    """Parameters that have changed, by the network they belong to."""
    changed = {name for name, value in module.named_parameters() if not torch.equal(value, before[name])}
    return {name.split(".")[0] if name.startswith("disc") else name.split(".")[1] for name in changed}


@BOTH
def test_turns_alternate_between_the_discriminator_and_the_scheme(tmp_path: Path, defense: str) -> None:
    training = opened(tmp_path, defense, steps=2, validate_every=2, ema=0.0)
    changes: list[set[str]] = []
    before = {name: value.clone() for name, value in training.networks.named_parameters()}

    def look(step: int, figures: dict[str, float | None]) -> None:
        changes.append(moved(before, training.networks))
        before.update({name: value.clone() for name, value in training.networks.named_parameters()})

    training.run(look)
    assert changes == [{"discriminator"}, {"segmentation", "client"}]


@BOTH
def test_against_a_discriminator_at_chance_the_client_learns_nothing_from_it(tmp_path: Path, defense: str) -> None:
    training = opened(tmp_path, defense)
    scans, same = training._encoded(training._pairs, 1)
    for parameter in training.networks.discriminator.head[-1].parameters():
        nn.init.zeros_(parameter)
    loss = training._against(scans, same)
    assert float(loss.detach()) == pytest.approx(-0.6931, abs=1e-4)
    found = torch.autograd.grad(loss, list(training.system.client.parameters()), allow_unused=True)  # type: ignore[union-attr]
    assert all(gradient is None or not gradient.any() for gradient in found)


@BOTH
def test_the_scheme_is_paid_for_what_the_discriminator_loses(tmp_path: Path, defense: str) -> None:
    training = opened(tmp_path, defense, adversary=3.0)
    scans, same = training._encoded(training._pairs, 1)
    own = identity_loss(training.networks.discriminator(scans), same)
    torch.testing.assert_close(training._against(scans, same), -3.0 * own)


@pytest.mark.parametrize(("defense", "how"), [("privacy-net", RuntimeError), ("deformation", KeyboardInterrupt)])
def test_a_killed_game_ends_like_an_unbroken_one(tmp_path: Path, defense: str, how: type[BaseException]) -> None:
    whole = opened(tmp_path / "whole", defense).run()

    def kill(step: int, figures: dict[str, float | None]) -> None:
        if step == 3:
            raise how

    with pytest.raises(how):
        opened(tmp_path / "killed", defense).run(kill)
    resumed = opened(tmp_path / "killed", defense).run()
    assert resumed.scores == whole.scores
    assert resumed.history == whole.history
    expected, found = (load_weights(tmp_path / n).networks.state_dict() for n in ("whole", "killed"))
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


def test_ctrl_c_within_a_step_keeps_no_half_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batch norm counts a step as soon as its forward pass is done."""
    whole = opened(tmp_path / "whole", "privacy-net").run()
    cut = opened(tmp_path / "cut", "privacy-net")
    compute = cut.compute_loss

    def pressed(model: nn.Module, step: int) -> torch.Tensor:
        loss = compute(model, step)
        if step == 2:
            signal.raise_signal(signal.SIGINT)
        return loss

    monkeypatch.setattr(cut, "compute_loss", pressed)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it may be ignored
    try:
        with pytest.raises(KeyboardInterrupt):
            cut.run()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
    assert cut.progress.step == 3, "the step is finished first"
    resumed = opened(tmp_path / "cut", "privacy-net").run()
    assert resumed.history == whole.history
    expected, found = (load_weights(tmp_path / n).networks.state_dict() for n in ("whole", "cut"))
    assert all(torch.equal(value, found[name]) for name, value in expected.items())


@pytest.mark.slow
def test_without_an_adversary_proxies_segment_as_well_as_images(tmp_path: Path) -> None:
    train: dict[str, Any] = {"learning_rate": 5e-3, "ema": 0.9, "validation_batches": 4}
    both = {}
    for defense, steps in (("none", 20), ("privacy-net", 60)):  # every other step is the discriminator's
        options = {**train, "steps": steps, "validate_every": steps, "adversary": 0.0}
        options |= {} if defense == "none" else {"pretrained": str(tmp_path / "none")}
        (training,) = open_training(spec(defense, **options), tmp_path / defense, device="cpu")
        both[defense] = training.run().scores["dice plain"] or 0.0
    assert both["none"] > 0.4, "what knows nothing gets 0.25"
    assert both["privacy-net"] > both["none"] - 0.05


def test_a_constant_proxy_and_a_dead_discriminator_are_called_collapsed(tmp_path: Path) -> None:
    training = opened(tmp_path, "privacy-net", steps=1, validate_every=1, ema=0.0, learning_rate=1e-9)
    client = training.system.client
    assert isinstance(client, ProxyEncoder)
    for parameter in (*client.parameters(), *training.networks.discriminator.head.parameters()):
        nn.init.zeros_(parameter)
    flaws = training.run().flaws
    assert any("proxy is constant" in flaw for flaw in flaws)
    assert any("discriminator is dead" in flaw for flaw in flaws)
    assert load_weights(tmp_path).config.training["collapsed"] == flaws
    assert "COLLAPSED" in (tmp_path / "README.md").read_text()


def test_a_deformation_that_moves_nothing_is_called_collapsed(tmp_path: Path) -> None:
    training = opened(tmp_path, "deformation", steps=1, validate_every=1, ema=0.0, learning_rate=1e-9)
    assert isinstance(training.system.client, VelocityGenerator)
    for parameter in training.system.client.parameters():
        nn.init.zeros_(parameter)
    assert any("moves nothing" in flaw for flaw in training.run().flaws)


@pytest.mark.parametrize(
    ("kind", "scores", "words"),
    [
        (PrivacyNetTraining, {"logit sd": 1.0, "proxy sd": 0.2, "proxy difference": 0.001}, "same for everybody"),
        (DeformationTraining, {"logit sd": 1.0, "voxels moved": 3.0, "voxels between keys": 0.1}, "every key"),
        (PrivacyNetTraining, {"logit sd": 1.0, "proxy sd": 0.2, "proxy difference": 0.1}, None),
        (DeformationTraining, {"logit sd": 1.0, "voxels moved": 3.0, "voxels between keys": 3.0}, None),
    ],
)
def test_other_collapses_and_none(
    kind: type[RivalTraining], scores: dict[str, float | None], words: str | None
) -> None:
    found = kind.flaws(object.__new__(kind), scores)
    assert [words in flaw for flaw in found] == [True] if words else found == []


def test_a_discriminator_at_chance_is_a_doubt_not_a_success() -> None:
    def doubts(auc: float | None, pairs: float) -> list[str]:
        scores = {"same-person AUC": auc, "pairs": pairs}
        return RivalTraining.doubts(object.__new__(PrivacyNetTraining), scores)

    for auc, pairs in ((0.5, 64.0), (0.375, 16.0), (0.6, 64.0), (None, 0.0)):
        assert "never learned" in doubts(auc, pairs)[0], (auc, pairs)
    young: dict[str, float | None] = {"logit sd": 0.004, "same-person AUC": 0.88, "pairs": 64.0}
    assert RivalTraining.flaws(object.__new__(PrivacyNetTraining), young) == [], "who tells people apart is not dead"
    assert doubts(0.7, 64.0) == doubts(0.3, 64.0) == doubts(0.55, 1000.0) == []


@BOTH
def test_the_discriminator_is_judged_by_enough_pairs(tmp_path: Path, defense: str) -> None:
    scores = opened(tmp_path, defense).score()
    assert scores["pairs"] == 64
    assert scores["same-person AUC"] is not None


def test_what_was_checked_is_what_encodes(tmp_path: Path, rivals: dict[str, str]) -> None:
    folder = tmp_path / "own"
    shutil.copytree(rivals["privacy-net"], folder)
    cohort = plugin.create("datasets", "blobs", Dataset, {"subjects": 12}).open()
    fitted = plugin.create("defenses", "privacy-net", Defense, {"weights": str(folder)}).fitted(cohort, ())
    (folder / "client.safetensors").write_bytes(b"something else")
    image = torch.rand(32, 32, 32)
    assert fitted.encode(image, fitted.draw_key((32, 32, 32), [], random.Random(0)), 1).views.isfinite().all()


@BOTH
def test_a_slow_scheme_encodes_each_scan_once(
    rivals: dict[str, str], defense: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = plugin.create("datasets", "blobs", Dataset, {"subjects": 12}).open()
    split = split_subjects(cohort.subjects, 0)
    fitted = plugin.create("defenses", defense, Defense, {"weights": rivals[defense]}).fitted(cohort, split.victims)
    monkeypatch.setattr("privaudit.auditing.scene.SLOW", 0)
    scene = Scene(cohort, split, fitted, 0)
    one, two = scene.requests[:2]
    before = [scene.transcript(request).views.clone() for request in (one, two)]
    monkeypatch.setattr(type(fitted), "encode", lambda *_: pytest.fail("encoded again"))
    planted = scene.transcript(one, arm="planted").views
    assert not torch.equal(planted, before[0])
    scene.transcript(one).views.zero_()  # an attack may
    for request, views in zip((one, two), before, strict=True):
        assert torch.equal(scene.transcript(request).views, views), "nothing that is held was changed"


@BOTH
def test_people_with_one_session_are_refused(tmp_path: Path, defense: str) -> None:
    with pytest.raises(DataError, match="--rescans 2"):
        open_training(spec(defense, sessions=1), tmp_path, device="cpu")


@BOTH
def test_pairs_are_half_of_the_same_person_at_the_same_place(tmp_path: Path, defense: str) -> None:
    training = opened(tmp_path, defense)
    source = training._pairs
    _, slots, same, mirrored = source._draw(0, 6)
    owners = [source._scans[source._slots[slot]] for slot in slots]
    for one, two, equal in zip(owners[::2], owners[1::2], same.tolist(), strict=True):
        assert (one.subject == two.subject) == bool(equal)
        assert one != two, "a scan is no pair with itself"
    assert same.tolist() == [1, 0, 1, 0, 1, 0]
    assert (mirrored[::2] == mirrored[1::2]).all()
    pairs = source.patches(0, 6)
    assert torch.equal(pairs.image, source.patches(0, 6).image)
    apart = (pairs.image[::2] - pairs.image[1::2]).abs().flatten(1).mean(dim=1)
    assert float(apart[same > 0].mean()) < float(apart[same < 1].mean())


def test_what_the_generator_makes_can_be_undone_and_does_not_fold() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        generator, keys = VelocityGenerator(), torch.randn(3, KEY_SIZE)
    shape = (72, 96, 80)
    fields = 2.0 * generator(keys, coarse_shape(shape)).detach()  # strength 4, at half the resolution
    assert float((fields[0] - fields[1]).abs().mean()) > 0.1, "keys differ"
    for field in fields:
        there, back = (resize(integrate(sign * field), shape) for sign in (1, -1))
        assert float(jacobian(there).min()) > 0
        assert float((back + warp(there, back)).norm(dim=0).mean()) < 0.1
        assert float(there[:, 0].abs().max()) == 0, "faces stay"
    assert not resize(integrate(0 * fields[0]), shape).any()


def test_weights_fit_or_are_refused(rivals: dict[str, str]) -> None:
    cohort = plugin.create("datasets", "blobs", Dataset, {"subjects": 12}).open()
    victims = split_subjects(cohort.subjects, 0).victims

    def make(**values: Any) -> Defense:
        return plugin.create("defenses", "deformation", Defense, values)

    fitted = make(weights=rivals["deformation"], strength=3.0).fitted(cohort, victims)
    assert fitted.params["strength"] == 3.0
    assert fitted.trained is not None
    assert make(weights="none").fitted(cohort, victims).trained is None
    with pytest.raises(OptionError, match="no shipped weights of 'deformation' fit.*train some"):
        make().fitted(cohort, victims)
    with pytest.raises(OptionError, match="another|'privacy-net'"):
        make(weights=rivals["privacy-net"]).fitted(cohort, victims)
    with pytest.raises(OptionError, match="which weights"):
        make().draw_key(cohort.shape, [], random.Random(0))


def test_a_training_takes_no_weights_but_to_start_from(tmp_path: Path) -> None:
    data = {"dataset": {"name": "blobs"}, "defense": {"name": "deformation", "weights": "none"}}
    with pytest.raises(OptionError, match="makes weights.*--pretrained"):
        open_training(parse_train_spec(data, "test"), tmp_path, device="cpu")


@pytest.mark.slow
def test_the_published_discriminator_is_there() -> None:
    assert SiameseNet("densenet121")(torch.rand(2, 1, 32, 32, 32)).shape == (1,)
