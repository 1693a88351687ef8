"""The learned metric: what it learns from, that a kill changes nothing, and when it is not used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from privaudit.auditing.scene import Scene
from privaudit.contracts import plugin
from privaudit.contracts.cohort import Cohort, Dataset, split_subjects
from privaudit.contracts.defense import Defense
from privaudit.errors import OptionError
from privaudit.learning import metric_training
from privaudit.learning.loop import CHECKPOINT
from privaudit.learning.metric import MetricNet, embed
from privaudit.learning.metric_training import MetricTraining, learn_metric
from privaudit.learning.options import LoopOptions
from privaudit.learning.own_people import Others, Sampler, shared_sampler


@pytest.fixture(autouse=True)
def nothing_learned_before() -> Iterator[None]:
    metric_training._LAST.clear()
    yield
    metric_training._LAST.clear()


@pytest.fixture
def cohort(thirdparty: Path) -> Cohort:
    return plugin.create("datasets", "blobs", Dataset, {"subjects": 32, "sessions": 1}).open()


def sampler_of(cohort: Cohort, defense: str = "mixup", count: int = 8, **options: Any) -> Sampler:
    scene = Scene(cohort, split_subjects(cohort.subjects, 0), plugin.create("defenses", defense, Defense, options), 0)
    return Sampler(scene.defense, scene.population[:count], 1)


def opened(sampler: Sampler, folder: Path, steps: int = 4, gallery: bool = False) -> MetricTraining:
    options = LoopOptions(steps=steps, batch=4, learning_rate=3e-3, ema=0.0, validate_every=steps, checkpoint_every=2)
    return MetricTraining(options, sampler, gallery, 5, folder, "cpu")


def test_before_training_it_is_the_correlation_of_what_tells_people_from_the_mean() -> None:
    rng = torch.Generator().manual_seed(0)
    means, spread = torch.rand((2, 1, 1, 8, 8, 8), generator=rng), torch.rand((1, 1, 8, 8, 8), generator=rng) + 0.1
    scans = torch.rand((3, 1, 8, 8, 8), generator=rng)
    found = MetricNet(means, spread)(scans, 1).detach()
    apart = ((scans - means[1]) / spread).clamp(-4, 4).flatten(1)
    np.testing.assert_allclose((found @ found.T).numpy(), np.array(cosines(apart)), atol=1e-5)


def cosines(rows: torch.Tensor) -> Sequence[Sequence[float]]:
    from sklearn.metrics.pairwise import cosine_similarity

    return cosine_similarity(rows.numpy())  # type: ignore[no-any-return]


def test_a_reference_is_never_the_person_who_is_encoded(cohort: Cohort) -> None:
    people = sampler_of(cohort).people
    others = Others(people, 2)
    assert len(others) == len(people) - 1
    assert all((volume.image != people[2].image).any() for volume in others)


@pytest.mark.parametrize("gallery", [False, True])
def test_a_killed_training_goes_on_to_the_same_metric(cohort: Cohort, tmp_path: Path, gallery: bool) -> None:
    sampler = sampler_of(cohort)

    def stop(step: int) -> None:
        if step == 3:
            raise KeyboardInterrupt

    def embedded(network: MetricNet) -> Any:
        return embed(network, [lambda: torch.from_numpy(sampler.people[0].image.copy())], int(gallery))

    whole, told = learn_metric(opened(sampler, tmp_path / "whole", gallery=gallery), lambda step: None)
    metric_training._LAST.clear()
    with pytest.raises(KeyboardInterrupt):
        learn_metric(opened(sampler, tmp_path / "cut", gallery=gallery), stop)
    assert (tmp_path / "cut" / CHECKPOINT).is_file()
    steps: list[int] = []
    again, told_again = learn_metric(opened(sampler, tmp_path / "cut", gallery=gallery), steps.append)
    assert steps == [4]
    assert told_again == told
    np.testing.assert_array_equal(embedded(again), embedded(whole))


def test_a_metric_that_learning_made_worse_is_not_used(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = opened(sampler_of(cohort), tmp_path, steps=2)
    fresh = {name: value.clone() for name, value in training.networks.state_dict().items()}
    figures: list[float] = [0.9, 0.6]
    monkeypatch.setattr(MetricTraining, "separation", lambda self: figures.pop(0))
    network, told = learn_metric(training, lambda step: None)
    assert told == {"before": 0.9, "after": 0.6}
    assert all(torch.equal(value, fresh[name]) for name, value in network.state_dict().items())


def test_the_same_metric_is_not_learned_twice_in_a_row(cohort: Cohort, tmp_path: Path) -> None:
    first, told = learn_metric(opened(sampler_of(cohort), tmp_path / "1"), lambda step: None)
    steps: list[int] = []
    second, told_again = learn_metric(opened(sampler_of(cohort), tmp_path / "2"), steps.append)
    assert (steps, told_again) == ([4], told)
    assert not (tmp_path / "2" / CHECKPOINT).exists()
    found = second.state_dict()
    assert all(torch.equal(value, found[name]) for name, value in first.state_dict().items())
    others = opened(sampler_of(cohort, alpha=0.9), tmp_path / "3")
    learn_metric(others, lambda step: None)
    assert (tmp_path / "3" / CHECKPOINT).exists(), "another scheme, another metric"


def test_learning_tells_held_out_people_apart(cohort: Cohort, tmp_path: Path) -> None:
    training = opened(sampler_of(cohort, "none"), tmp_path)
    assert training.score()["same person"] > 0.9  # type: ignore[operator]
    assert not set(training.held_out) & set(training.learners)


def test_the_network_of_a_siamese_discriminator_serves_as_well(cohort: Cohort, tmp_path: Path) -> None:
    options = LoopOptions(steps=3, batch=4, ema=0.0, validate_every=3, checkpoint_every=2)
    training = MetricTraining(options, sampler_of(cohort, "none"), False, 5, tmp_path, "cpu", "resnet10")
    before = {name: value.clone() for name, value in training.networks.named_parameters() if name.startswith("feat")}
    network, told = learn_metric(training, lambda step: None)
    assert told["after"] >= 0
    assert before
    trained = dict(network.named_parameters())
    assert told["after"] < told["before"] or any(not torch.equal(trained[name], before[name]) for name in before)
    rows = embed(network, [lambda: torch.rand(32, 32, 32)], 0)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)


def test_a_person_has_as_many_encodings_as_were_asked_for(cohort: Cohort) -> None:
    sampler = replace(sampler_of(cohort), count=2)
    rng = np.random.default_rng(0)

    def drawn(source: Sampler) -> set[bytes]:
        return {source.both(1, 1, True, rng)[0].numpy().tobytes() for _ in range(12)}

    distinct = drawn(sampler)
    assert len(distinct) == 2
    assert drawn(replace(sampler, _made={})) == distinct, "whatever was drawn in between"


@pytest.mark.parametrize("count", [2, 5, 16])
def test_no_encoding_is_compared_with_itself(cohort: Cohort, count: int) -> None:
    sampler = replace(sampler_of(cohort), count=count)
    for seed in range(8):
        sent, others = sampler.both(1, 4, False, np.random.default_rng(seed))
        assert len(sent) == len(others) == min(4, count // 2)
        assert not {scan.numpy().tobytes() for scan in sent} & {scan.numpy().tobytes() for scan in others}


def test_three_people_are_too_few(cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="too few people to learn a metric on"):
        opened(sampler_of(cohort, count=3), tmp_path)


def test_protocols_share_encodings_but_not_with_another_scheme(cohort: Cohort) -> None:
    def shared(alpha: float, seed: int = 1) -> Sampler:
        source = sampler_of(cohort, alpha=alpha)
        return shared_sampler(source.defense, source.people, 1, 4, seed)

    first = shared(0.5)
    first.encoded(0, 0)
    assert shared(0.5) is first
    assert shared(0.9) is not first
    assert not shared(0.5)._made, "what another scheme has displaced is made again"
    assert shared(0.5, seed=2) is not shared(0.5)
