"""Reading several views as one: the mean where they are drawn alike, else whatever tells most of own people."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from privaudit.contracts import plugin
from privaudit.contracts.arrays import function_defense
from privaudit.contracts.cohort import Volume
from privaudit.contracts.defense import Defense, Encoded
from privaudit.imaging.atlas import Atlas
from privaudit.imaging.off_grid import resized
from privaudit.imaging.patches import as_tensor
from privaudit.learning.own_people import send_own
from privaudit.learning.readings import ALONE, Reading, readings_of

LOUD = 50
SHAPE = (8, 8, 8)


def people() -> list[Volume]:
    rng = np.random.default_rng(0)
    patterns = rng.random((4, *SHAPE))
    images = [0.5 + np.tensordot(rng.random(4) - 0.5, patterns, 1) / 4 for _ in range(12)]
    return [Volume(i.astype(np.float32), np.ones(SHAPE, np.uint8), np.eye(4)) for i in images]


OWN = people()
ATLAS = Atlas.of(as_tensor(volume.image) for volume in OWN)


def best_of(scheme: Defense, views: int) -> tuple[Reading, list[Reading]]:
    shares: list[float] = []
    best, *alone = readings_of(scheme, OWN, ATLAS, views, 0, shares.append)
    assert sum(shares) == pytest.approx(1)
    return best, alone


def noise(rng: Any) -> Any:
    return LOUD * rng.standard_normal(SHAPE)


def in_the_second(image: Any, rng: Any) -> Any:
    return [noise(rng), image]


def difference(image: Any, rng: Any) -> Any:
    loud = noise(rng)
    return [loud, image + loud]


def coins(image: Any, rng: Any) -> Any:
    """Two shares of a black and white picture, each of which is noise."""
    one = rng.integers(2, size=SHAPE)
    return [one.astype(np.float32), (one ^ (image > 0.5)).astype(np.float32)]


@pytest.mark.parametrize(
    ("encode", "least"),
    [(in_the_second, 0.999), (difference, 0.999), (coins, 0.3)],
    ids=["second", "difference", "coins"],
)
def test_what_the_mean_hides_is_read(encode: Callable[..., Any], least: float) -> None:
    """Nothing is looked at but own people, and a stranger's image is read just as well."""
    scheme = function_defense(encode)()
    best, alone = best_of(scheme, 2)
    assert best.weights is not None
    assert [str(reading) for reading in alone] == ["part 1 alone", "part 2 alone"]
    stranger = Volume(OWN[0].image[::-1].copy(), OWN[0].labels, OWN[0].affine)
    sent = send_own(scheme, stranger, [], random.Random(5), 2, None)
    found = best.volume(sent, SHAPE)
    assert np.corrcoef(found.flatten(), stranger.image.ravel())[0, 1] > least
    read, views = best.scheme(scheme, 2)
    key = read.draw_key(SHAPE, [], random.Random(5))
    image = as_tensor(stranger.image)
    assert torch.equal(read.encode(image, key, views).averaged(image), found)


def test_views_that_tell_nothing_or_are_drawn_alike_are_averaged(thirdparty: Any) -> None:
    silent, alone = best_of(function_defense(lambda image, rng: [noise(rng), noise(rng)])(), 2)
    assert silent == Reading()
    assert len(alone) == 2, "each of a list may be anything"
    mixed, none = best_of(plugin.create("defenses", "mixup", Defense, {"views": 3, "patch_size": 8}), 3)
    assert (mixed, none) == (Reading(), [])
    called, none = best_of(function_defense(lambda image, rng: image + 0.1 * rng.standard_normal(SHAPE), views=3)(), 3)
    assert (called, none) == (Reading(), [])
    many = best_of(function_defense(lambda image, rng: [image] * (ALONE + 1))(), ALONE + 1)
    assert many == (Reading(), [])


def test_one_view_and_few_people_are_taken_as_they_are() -> None:
    scheme = function_defense(in_the_second)()
    assert readings_of(scheme, OWN, ATLAS, 1, 0, lambda _: None) == [Reading()]
    assert readings_of(scheme, OWN[:2], ATLAS, 2, 0, lambda _: None) == [Reading()]


def channels(image: Any, rng: Any) -> Any:
    """As a network's first layer might: three sums of the image and of noise that is the same in all."""
    loud = noise(rng)
    return np.stack([image + loud, loud - image, 2 * image - loud])


def coarse(image: Any) -> Any:
    return image.reshape(4, 2, 4, 2, 4, 2).mean(axis=(1, 3, 5))


def halves(image: Any, rng: Any) -> Any:
    """Real and imaginary parts, on a coarser grid."""
    small = coarse(image)
    return LOUD * rng.standard_normal(small.shape) + 1j * small


@pytest.mark.parametrize(("encode", "count"), [(channels, 3), (halves, 2)])
def test_channels_are_read_as_views_are(encode: Callable[..., Any], count: int) -> None:
    scheme = function_defense(encode)()
    best, alone = best_of(scheme, 1)
    assert best.weights is not None
    assert [str(reading) for reading in alone[:-1]] == [f"part {number} alone" for number in range(1, count + 1)]
    assert alone[-1] == Reading(), "what the scheme shows as an image is tried, too"
    stranger = Volume(OWN[0].image[::-1].copy(), OWN[0].labels, OWN[0].affine)
    sent = send_own(scheme, stranger, [], random.Random(5), 1, None)
    truth = as_tensor(stranger.image if encode is channels else coarse(stranger.image))
    found = best.volume(sent, SHAPE)
    assert np.corrcoef(found.flatten(), resized(truth, SHAPE).flatten())[0, 1] > 0.999


def test_a_reading_is_what_its_weights_say() -> None:
    views, corner = torch.rand(3, 1, *SHAPE), np.zeros((1, 3), dtype=np.int64)
    sent = Encoded(views, corner)
    assert torch.equal(Reading().volume(sent, SHAPE), views.mean(dim=0)[0])
    assert torch.equal(Reading((0.0, 1.0, 0.0, 0.0)).volume(sent, SHAPE), views[1, 0])
    expected = 2 * views[0] - views[2] + 3 * views.std(dim=0)
    torch.testing.assert_close(Reading((2.0, 0.0, -1.0, 3.0)).volume(sent, SHAPE), expected[0])
    assert str(Reading((0.0, 0.0, 0.0, 1.0))) == str(Reading((1.0, 2.0, 0.0, 0.0))) == "sum of the parts"
