"""The network that corrects a linear de-encoder: what it finds, when it keeps silent, that it resumes."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from privaudit.auditing.scene import Scene
from privaudit.contracts import plugin
from privaudit.contracts.cohort import Cohort, Dataset, split_subjects
from privaudit.contracts.defense import Defense
from privaudit.errors import OptionError
from privaudit.imaging.atlas import Atlas
from privaudit.imaging.patches import as_tensor, stitch
from privaudit.learning import inversion_network, inversion_training
from privaudit.learning.inversion import Reader, shared_inverter
from privaudit.learning.inversion_network import NetworkInverter, Reading
from privaudit.learning.inversion_pairs import OwnPairs, Warps
from privaudit.learning.inversion_training import InversionTraining, learn_network, shared_network
from privaudit.learning.loop import CHECKPOINT
from privaudit.learning.options import LoopOptions
from privaudit.learning.own_people import Others
from tests.made import Made, noise


def noisy(image: Tensor, g: torch.Generator) -> Tensor:
    return image + 0.2 * torch.randn(image.shape, generator=g)


def flipped(image: Tensor, g: torch.Generator) -> Tensor:
    """Contrast inverted by a secret coin: on average over keys, nothing is left that is linear in the image."""
    return 1 - image if torch.rand(1, generator=g) < 0.5 else image


@pytest.fixture(autouse=True)
def small_and_fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(inversion_network, "FEATURES", (8,) * 6)
    monkeypatch.setattr(inversion_training, "RENEWED", 2)
    inversion_training._KEPT.clear()
    yield
    inversion_training._KEPT.clear()


@pytest.fixture(scope="module")
def cohort(thirdparty: Path) -> Cohort:
    return plugin.create("datasets", "blobs", Dataset, {"subjects": 40, "sessions": 1, "side": 28}).open()


def scene_of(cohort: Cohort, defense: Defense) -> Scene:
    return Scene(cohort, split_subjects(cohort.subjects, 0), defense, 0)


def pairs_of(scene: Scene, views: int = 1, returned: bool = False) -> OwnPairs:
    linear = shared_inverter(scene.defense, scene.population, scene.atlas, views, 2, 1, lambda share: None)
    return OwnPairs(scene.defense, scene.population, linear, views, returned)


def opened(pairs: OwnPairs, folder: Path, steps: int, seed: int = 1) -> InversionTraining:
    options = LoopOptions(steps=steps, batch=4, learning_rate=5e-3, ema=0.9, validate_every=steps, checkpoint_every=2)
    return InversionTraining(options, pairs, seed, folder, "cpu")


def learned(pairs: OwnPairs, folder: Path, steps: int) -> NetworkInverter:
    return learn_network(opened(pairs, folder, steps), lambda share: None)


def share_left(scene: Scene, inverter: NetworkInverter, views: int = 1, returned: bool = False) -> float:
    """Squared error of victims, as a share of the atlas's."""
    mine = theirs = 0.0
    for request in scene.requests[:8]:
        truth = as_tensor(scene.truth(request).image)
        transcript = scene.transcript(request, views=views, returned=returned)
        mine += float((inverter.invert(transcript) - truth).square().sum())
        theirs += float((scene.atlas.mean - truth).square().sum())
    return mine / theirs


@pytest.mark.slow
def test_it_undoes_what_the_linear_one_cannot(cohort: Cohort, tmp_path: Path) -> None:
    scene = scene_of(cohort, Made(flipped))
    pairs = pairs_of(scene)
    inverter = learned(pairs, tmp_path, 90)
    assert inverter.network is not None
    assert inverter.left < 0.5 * pairs.linear.left
    assert share_left(scene, inverter) < 0.5 * share_left(scene, NetworkInverter(pairs.linear, None, 1.0))


def test_an_encoding_that_tells_nothing_leaves_the_atlas_to_the_last_bit(cohort: Cohort, tmp_path: Path) -> None:
    scene = scene_of(cohort, Made(noise))
    inverter = learned(pairs_of(scene, views=2), tmp_path, 30)
    assert inverter.network is None
    assert inverter.left == 1
    assert torch.equal(inverter.invert(scene.transcript(scene.requests[0], views=2)), scene.atlas.mean)


def test_a_network_that_mends_the_atlas_whatever_was_sent_is_not_used(cohort: Cohort, tmp_path: Path) -> None:
    """Everybody is brighter than this attacker's atlas: known without looking, and no leak."""
    scene = scene_of(cohort, Made(noise))
    pairs = pairs_of(scene)
    atlas = pairs.linear.reader.atlas
    dark = Reader(pairs.linear.reader.mean, Atlas(0.8 * atlas.mean, atlas.variance))
    inverter = learned(replace(pairs, linear=replace(pairs.linear, reader=dark)), tmp_path, 30)
    assert inverter.network is None


def test_before_training_it_is_the_linear_picture(cohort: Cohort, tmp_path: Path) -> None:
    scene = scene_of(cohort, Made(noisy))
    pairs = pairs_of(scene, views=3)
    network = opened(pairs, tmp_path, 1).networks
    transcript = scene.transcript(scene.requests[0], views=3)
    told, _ = Reading.of(transcript, pairs.linear).windows()
    assert not network(told).any()
    torch.testing.assert_close(
        NetworkInverter(pairs.linear, network, 1.0).invert(transcript), pairs.linear.invert(transcript.averaged())
    )


def test_the_order_of_views_does_not_matter(cohort: Cohort, tmp_path: Path) -> None:
    scene = scene_of(cohort, Made(noisy))
    pairs = pairs_of(scene, views=3)
    training = opened(pairs, tmp_path, 2)
    training.run()
    inverter = NetworkInverter(pairs.linear, training.networks.eval(), 1.0)
    transcript = scene.transcript(scene.requests[0], views=3)
    image = inverter.invert(transcript)
    assert not torch.equal(image, pairs.linear.invert(transcript.averaged()))
    assert torch.equal(image, inverter.invert(replace(transcript, views=transcript.views[[2, 0, 1]])))


def test_a_killed_training_goes_on_to_the_same_network(cohort: Cohort, tmp_path: Path) -> None:
    scene = scene_of(cohort, Made(flipped))
    pairs = pairs_of(scene)

    def stop(step: int, _: object) -> None:
        if step == 3:
            raise KeyboardInterrupt

    whole, again = opened(pairs, tmp_path / "whole", 4), opened(pairs, tmp_path / "cut", 4)
    scores = whole.run().scores
    with pytest.raises(KeyboardInterrupt):
        again.run(stop)
    assert (tmp_path / "cut" / CHECKPOINT).is_file()
    again, steps = opened(pairs, tmp_path / "cut", 4), []
    assert again.run(lambda step, _: steps.append(step)).scores == scores
    assert steps == [4]
    for one, other in zip(whole.networks.parameters(), again.networks.parameters(), strict=True):
        assert torch.equal(one, other)
    other_seed = opened(pairs, tmp_path / "other", 4, seed=2)
    assert other_seed.run().scores != scores


def test_it_is_learned_once_for_the_same_arguments(cohort: Cohort, tmp_path: Path) -> None:
    pairs = pairs_of(scene_of(cohort, Made(flipped)))
    done: list[float] = []
    first = shared_network(pairs, 2, 2, 1, tmp_path / "1", "cpu", done.append)
    assert sum(done) == pytest.approx(1)
    assert shared_network(pairs, 2, 2, 1, tmp_path / "2", "cpu", done.append) is first
    assert sum(done) == pytest.approx(2)
    assert not (tmp_path / "2").exists()
    assert shared_network(pairs, 2, 2, 2, tmp_path / "3", "cpu", done.append) is not first


def test_maps_that_come_back_are_further_inputs(cohort: Cohort, tmp_path: Path) -> None:
    scene = scene_of(cohort, Made(noise))
    inverter = learned(pairs_of(scene, returned=True), tmp_path, 30)
    assert inverter.network is not None, "the map alone shows who it is of"
    assert share_left(scene, inverter, returned=True) < 0.8


@pytest.mark.parametrize("defense", ["mixup", "deformation"])
def test_patches_are_taken_as_sent_and_volumes_in_windows(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, defense: str
) -> None:
    monkeypatch.setattr(inversion_network, "WINDOW", 16)
    options = {"patch_size": 12, "views": 3} if defense == "mixup" else {"weights": "none"}
    scene = scene_of(cohort, plugin.create("defenses", defense, Defense, options))
    pairs = pairs_of(scene, views=3)
    training = opened(pairs, tmp_path, 2)
    training.run()
    transcript = scene.transcript(scene.requests[0], views=3)
    reading = Reading.of(transcript, pairs.linear)
    told, corners = reading.windows()
    assert told.shape[1:] == (8, *((12,) * 3 if defense == "mixup" else (16,) * 3))
    assert len(told) == len(corners) == 27
    middle = stitch(told[:, 3], corners, cohort.shape)
    torch.testing.assert_close(middle, scene.atlas.mean)
    image = NetworkInverter(pairs.linear, training.networks, 1.0).invert(transcript)
    outside = scene.atlas.variance == 0
    assert torch.equal(image[outside], scene.atlas.mean[outside])


def test_five_people_are_too_few(cohort: Cohort, tmp_path: Path) -> None:
    pairs = pairs_of(scene_of(cohort, Made(flipped)))
    with pytest.raises(OptionError, match="too few people to learn a network on"):
        opened(replace(pairs, people=pairs.people[:5]), tmp_path, 1)


def test_references_are_fresh_warps_of_the_others(cohort: Cohort) -> None:
    people = scene_of(cohort, Made(noise)).population
    others = [Warps(Others(people, 2), seed) for seed in (1, 1, 2)]
    assert len(others[0]) == len(people) - 1
    assert (others[0][0].image == others[1][0].image).all()
    assert (others[0][0].image != others[2][0].image).any()
    first = others[0][:1][0]
    assert set(np.unique(first.labels)) <= set(np.unique(people[0].labels))
    apart = [np.abs(first.image - volume.image).mean() for volume in people]
    assert int(np.argmin(apart)) == 0, "nearest to whom it was made of"
