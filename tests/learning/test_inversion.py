"""A de-encoder gets back what can be got back, leaves the atlas where nothing can, and is plain ridge regression."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from torch import Tensor

from privaudit.auditing.scene import Scene
from privaudit.contracts import plugin
from privaudit.contracts.cohort import Cohort, Dataset, split_subjects
from privaudit.imaging.patches import as_tensor
from privaudit.learning.inversion import Inverter, learn_inverter, shared_inverter
from privaudit.learning.ridge import ridge
from tests.made import Made, noise


def signs(image: Tensor, g: torch.Generator) -> Tensor:
    return image * (torch.randint(0, 2, image.shape, generator=g) * 2 - 1)


@pytest.fixture(scope="module")
def cohort(thirdparty: Path) -> Cohort:
    return plugin.create("datasets", "blobs", Dataset, {"subjects": 40, "sessions": 1}).open()


def errors(cohort: Cohort, make: Callable[[Tensor, torch.Generator], Tensor]) -> tuple[Inverter, float, float]:
    """The de-encoder, its squared error on victims, and the atlas's."""
    scene = Scene(cohort, split_subjects(cohort.subjects, 0), Made(make), 0)
    inverter = learn_inverter(scene.defense, scene.population, scene.atlas, 1, 2, 1, lambda share: None)
    mine = theirs = 0.0
    for request in scene.requests:
        truth = as_tensor(scene.truth(request).image)
        mine += float((inverter.invert(scene.transcript(request).stitched()) - truth).square().sum())
        theirs += float((scene.atlas.mean - truth).square().sum())
    return inverter, mine, theirs


@pytest.mark.parametrize(
    "make",
    [
        lambda image, g: image, lambda image, g: 1 - image, signs, lambda image, g: image**3,
        lambda image, g: 5 * image - 2 + 0.1 * torch.randn(image.shape, generator=g),
    ],
)  # fmt: skip
def test_what_can_be_got_back_is(cohort: Cohort, make: Callable[[Tensor, torch.Generator], Tensor]) -> None:
    inverter, mine, theirs = errors(cohort, make)
    assert mine < 0.25 * theirs
    assert inverter.left < 0.25


def test_weighted_volumes_are_the_features_times_the_weights(cohort: Cohort) -> None:
    inverter, _, _ = errors(cohort, signs)
    opened = inverter.reader.open(torch.rand(cohort.shape))
    places = inverter.reader.places
    weighted = opened.weighted(inverter.weights.tolist())[tuple(places.T)]
    expected = opened.features(places).double() @ torch.from_numpy(inverter.weights)
    assert torch.allclose(weighted.double(), expected, atol=1e-5)


def test_an_encoding_that_tells_nothing_leaves_the_atlas_to_the_last_bit(cohort: Cohort) -> None:
    inverter, mine, theirs = errors(cohort, noise)
    assert inverter.left == 1
    assert mine == theirs
    sent = torch.rand(cohort.shape)
    assert torch.equal(inverter.invert(sent), inverter.reader.atlas.mean)


def people(signal: float, seed: int, count: int = 12) -> tuple[Any, Any, Any]:
    """Made-up features and targets of some people: as data, and as what ridge wants."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(count, 200, 6))
    target = signal * (features @ np.array([1.0, -2.0, 0.5, 0, 0, 0])) + rng.normal(size=(count, 200))
    return features, target, (
        np.einsum("pnf,png->pfg", features, features), np.einsum("pnf,pn->pf", features, target),
        (target**2).sum(axis=1),
    )  # fmt: skip


def test_it_is_scikit_learns_ridge() -> None:
    features, target, (grams, products, squares) = people(1.0, 0)
    weights, left = ridge(grams, products, squares)
    flat, wanted = features.reshape(-1, 6), target.reshape(-1)
    scale = np.sqrt((flat**2).sum(axis=0))
    candidates = [
        Ridge(alpha=10.0**power, fit_intercept=False).fit(flat / scale, wanted).coef_ / scale for power in range(-4, 3)
    ]
    assert min(np.abs(weights - candidate).max() for candidate in candidates) < 1e-9
    assert left == pytest.approx(1 / 6.25, abs=0.03)  # noise of variance 1 beside a signal of 5.25


def test_what_does_not_help_people_left_out_is_not_used() -> None:
    for seed in range(20):
        _, _, given = people(0.0, seed)
        weights, left = ridge(*given)
        if weights.any():
            assert left > 0.99, "by chance, and then by next to nothing"
    used = [ridge(*people(0.0, seed)[2])[0].any() for seed in range(40)]
    assert np.mean(used) <= 0.2


def test_it_is_learned_once_for_the_same_arguments(cohort: Cohort) -> None:
    scene = Scene(cohort, split_subjects(cohort.subjects, 0), Made(signs), 0)
    first = shared_inverter(scene.defense, scene.population, scene.atlas, 1, 2, 1, lambda share: None)
    assert shared_inverter(scene.defense, scene.population, scene.atlas, 1, 2, 1, lambda share: None) is first
    assert shared_inverter(scene.defense, scene.population, scene.atlas, 1, 2, 2, lambda share: None) is not first
    other = Made(lambda image, g: image)  # of the same name and options
    assert shared_inverter(other, scene.population, scene.atlas, 1, 2, 1, lambda share: None) is not first
    again = learn_inverter(scene.defense, scene.population, scene.atlas, 1, 2, 1, lambda share: None)
    assert (again.weights == first.weights).all()
