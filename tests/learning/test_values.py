"""Learning from all values: the attacker's own people judge it, and nothing of who is left out is known."""

import random
from typing import Any

import numpy as np
import pytest
import torch

from privaudit.contracts.arrays import function_defense
from privaudit.contracts.cohort import Volume
from privaudit.imaging.atlas import Atlas
from privaudit.imaging.patches import as_tensor
from privaudit.learning.values import Reader, learn_values, singular_values, telling

PEOPLE = 24


def people(parts: int = 4) -> list[Volume]:
    """Blobs of a few parts, each brighter or darker."""
    rng = np.random.default_rng(0)
    patterns = rng.random((parts, 8, 8, 8))
    images = [0.3 + np.tensordot(rng.random(parts) - 0.5, patterns, 1) / parts for _ in range(PEOPLE)]
    return [Volume(i.astype(np.float32), np.ones((8, 8, 8), np.uint8), np.eye(4)) for i in images]


def learned(encode: Any) -> Any:
    own = people()
    atlas = Atlas.of(as_tensor(volume.image) for volume in own)
    return learn_values(function_defense(encode)(), own, atlas, 1, 1, 3, lambda _: None)


def test_projections_give_the_image_back() -> None:
    matrix = np.random.default_rng(5).standard_normal((40, 512))
    found = learned(lambda image, rng: matrix @ image.ravel())
    assert found.left < 0.05
    scheme = function_defense(lambda image, rng: matrix @ image.ravel())()
    stranger = as_tensor(people()[3].image).flip(0)
    assert scheme.encode(stranger, scheme.draw_key((8, 8, 8), [], random.Random(0)), 1).sent is not None


@pytest.mark.parametrize("size", [3, 40, 600])
def test_noise_gives_the_atlas(size: int) -> None:
    found = learned(lambda image, rng: rng.standard_normal(size))
    assert found.left > 0.9
    assert not len(found.weights) or float((found.weights).abs().max()) < 0.1


def test_left_out_people_are_judged_as_strangers_are() -> None:
    """A brute-force fit without each person, with a mean that has not seen the person, gives the same error."""
    matrix = np.random.default_rng(5).standard_normal((6, 512))
    from privaudit.learning import values

    own = people(parts=12)
    images = torch.stack([as_tensor(v.image) for v in own]).flatten(1).double().numpy()
    sent = torch.from_numpy((images @ matrix.T).astype(np.float32))
    reader = values.Reader(sent[:, None])
    kernel = reader.likeness(reader.read(sent[:, None]), reader.read(sent[:, None]))
    centred = images - images.mean(axis=0)
    gains = values._gains(kernel, centred @ centred.T, np.arange(PEOPLE), 0.1, PEOPLE)
    for person in (0, 7, 23):
        rest = np.arange(PEOPLE) != person
        mean = images[rest].mean(axis=0)
        weights = np.linalg.solve(kernel[np.ix_(rest, rest)] + 0.1 * np.eye(PEOPLE - 1), kernel[rest, person])
        guess = weights @ (images[rest] - mean)
        truth = images[person] - mean
        assert gains[person] == pytest.approx(truth @ truth - ((truth - guess) ** 2).sum(), rel=1e-6, abs=1e-9)


def turned(image: Any, rng: Any) -> Any:
    """Rows of the image in one secret basis, drawn for each scan."""
    return image.reshape(64, 8).astype(float) @ np.linalg.qr(rng.standard_normal((8, 8)))[0]


def found_again(encode: Any, flat: bool) -> float:
    """Share of people, encoded twice, whose second encoding is most like their first; weights are learned on others.

    The mean of several draws of keys: in one, two of 24 people more or fewer are found by luck or rounding.
    """
    return float(np.mean([once_found_again(encode, flat, np.random.default_rng([1, draw])) for draw in range(6)]))


def once_found_again(encode: Any, flat: bool, keys: np.random.Generator) -> float:
    own, others = people(12), people(12)[::-1]
    sent = [
        torch.from_numpy(np.stack([encode(v.image, keys) for v in who])).float() for who in (own, own, others, others)
    ]
    first, again, one, two = ((some.flatten(1) if flat else some)[:, None] for some in sent)
    reader = Reader(one)
    likeness = reader.likeness(reader.read(first, True), reader.read(again, True), telling(reader, one, two))
    return float((likeness.argmax(axis=1) == np.arange(PEOPLE)).mean())


def test_a_secret_rotation_along_an_axis_keeps_its_energies() -> None:
    """Values and their sizes alone say nothing of the image then."""
    assert found_again(turned, flat=False) > 0.6
    assert found_again(turned, flat=True) < 0.2
    assert learned(turned).left < 0.6


def test_energies_of_noise_tell_nothing() -> None:
    assert found_again(lambda image, rng: rng.standard_normal((8, 8, 8)), flat=False) < 0.2
    assert learned(lambda image, rng: rng.standard_normal((8, 8, 8))).left > 0.9


def test_rows_in_any_order_and_turned_together_keep_singular_values() -> None:
    rng = np.random.default_rng(0)
    sent = rng.standard_normal((2, 50, 8))
    turn = np.linalg.qr(rng.standard_normal((8, 8)))[0]
    same = np.stack([one[rng.permutation(50)] @ turn for one in sent])
    for one, other in zip(
        *(singular_values(torch.from_numpy(s.astype(np.float32))) for s in (sent, same)), strict=True
    ):
        assert torch.allclose(one, other, atol=1e-3)
    assert singular_values(torch.rand(2, 30)) == []
    assert len(singular_values(torch.rand(2, 600, 3))) == 1, "long axes are left out"


def test_of_two_shares_their_spread_is_read() -> None:
    """Each share alone, and their mean, is noise."""

    def shares(image: Any, rng: Any) -> list[Any]:
        coins = rng.integers(2, size=image.shape)
        return [coins.astype(np.float32), (coins ^ (image > 0.3)).astype(np.float32)]

    own = people()
    atlas = Atlas.of(as_tensor(volume.image) for volume in own)
    assert learn_values(function_defense(shares)(), own, atlas, 2, 1, 3, lambda _: None).left < 0.5
    assert learn_values(function_defense(shares)(), own, atlas, 1, 1, 3, lambda _: None).left > 0.9
