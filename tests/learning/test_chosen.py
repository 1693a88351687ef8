"""Images of the attacker's own choice undo what has one key for everything, and say so where they do not fit."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from privaudit.contracts import plugin
from privaudit.contracts.arrays import function_defense
from privaudit.contracts.defense import Defense
from privaudit.contracts.transcript import Transcript
from privaudit.imaging import cube_probes
from privaudit.imaging.atlas import Atlas
from privaudit.imaging.cube_maps import CubeMap
from privaudit.learning.chosen import LINEAR, Broken, break_scheme

SHAPE = (20, 16, 17)
Encode = Callable[[Any, Any], Any]


def people() -> list[Tensor]:
    """Smooth images in [0, 1] that differ from voxel to voxel."""
    rng, found = np.random.default_rng(0), []
    shared = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 2)
    for _ in range(7):
        image = shared + 0.5 * ndimage.gaussian_filter(rng.standard_normal(SHAPE), 1)
        found.append(torch.from_numpy(np.clip(0.5 + image / 4 / image.std(), 0, 1).astype(np.float32)))
    return found


def atlas() -> Atlas:
    return Atlas.of(people()[1:])


def broken(scheme: Defense) -> Broken:
    return break_scheme(scheme, atlas(), 3, lambda _: None)


def picture(scheme: Defense, found: Broken, victim: Tensor) -> Tensor:
    sent = scheme.encode(victim, scheme.draw_key(SHAPE, [], random.Random(9)), 1)
    return found.invert(Transcript("r", sent.views, sent.positions, SHAPE, np.eye(4), None, None, sent.sent))


def psnr(found: Tensor, true: Tensor) -> float:
    return float(-10 * torch.log10((found - true).square().mean()))


def exchanged(image: Any, rng: Any) -> Any:
    order = np.random.default_rng(1).permutation(image.size)
    return image.ravel()[order].reshape(image.shape)


def grey_table(image: Any, rng: Any) -> Any:
    table = np.random.default_rng(1).permutation(128)
    return table[np.rint(image * 127).astype(int)].astype(np.float32) / 127


def curve(image: Any, rng: Any) -> Any:
    return (image**3).astype(np.float32)


def padded_filter(image: Any, rng: Any) -> Any:
    kernel = np.zeros((3, 3, 3))
    kernel[1, 1, 1], kernel[0, 1, 1], kernel[1, 2, 2] = 1, 0.4, -0.3
    return ndimage.convolve(image, kernel, mode="constant")


def channels(image: Any, rng: Any) -> Any:
    """Two channels of half the size, from sums and differences of neighbours: off the image's grid."""
    x = image.reshape(10, 2, *image.shape[1:])
    return np.stack([x[:, 0] + x[:, 1], x[:, 0] - 0.5 * x[:, 1]])


@pytest.mark.parametrize(
    ("encode", "form", "least"),
    [
        (lambda image, rng: image, "a filter", 80),
        (lambda image, rng: 1 - image, "a filter", 80),
        (exchanged, "voxel by voxel", 80),
        (grey_table, "tables", 42),
        (curve, "tables", 50),
        (padded_filter, "cube by cube", 80),
        (channels, "cube by cube", 80),
    ],
)
def test_fixed_encoders_are_undone(encode: Encode, form: str, least: float) -> None:
    scheme, victim = function_defense(encode)(), people()[0]
    found = broken(scheme)
    assert form in found.form
    assert psnr(picture(scheme, found, victim), victim) > least
    assert psnr(atlas().mean, victim) < 25


def test_the_zoo_s_fixed_linear_schemes_are_undone(zoo: Path) -> None:
    victim = people()[0]
    for name in (
        "zoo-orthogonal",
        "zoo-signs-fixed",
        "zoo-convolution",
        "zoo-learnable",
        "zoo-etc-fixed",
        "orthogonal",
    ):
        scheme = plugin.create("defenses", name, Defense, {})
        found = picture(scheme, broken(scheme), victim)
        side = 4 if name == "zoo-learnable" else 8
        inside = tuple(slice(0, length // side * side) for length in SHAPE)  # what is cut off is not sent
        if "signs" in name or "convolution" in name:
            inside = (slice(None),) * 3
        assert psnr(found[inside], victim[inside]) > 60, name


MIXED = np.linalg.qr(np.random.default_rng(7).standard_normal((64, 64)))[0]


def cubes_mixed(image: Any) -> Any:
    """Cubes of 4 voxels through one orthogonal matrix."""
    wide = np.pad(image, ((0, 0), (0, 0), (0, 3))).reshape(5, 4, 4, 4, 5, 4)
    return (wide.transpose(0, 2, 4, 1, 3, 5).reshape(-1, 64) @ MIXED.T).astype(np.float32)


def signed(image: Any) -> Any:
    return (exchanged(image, None) * np.random.default_rng(2).choice([-1, 1], image.shape)).astype(np.float32)


def normal(image: Any) -> Any:
    return (image - image.mean()) / image.std()


def stretched(image: Any) -> Any:
    return (image - image.min()) / (image.max() - image.min())


@pytest.mark.parametrize(
    ("normalise", "noise", "words", "least"),
    [
        (lambda image: image, 0.01, "", 25),
        (lambda image: image, 0.03, "", 22),
        (normal, 0.0, "by mean and standard deviation", 19),
        (normal, 0.01, "by mean and standard deviation", 19),
        (stretched, 0.0, "by least and greatest value", 40),
        (stretched, 0.01, "by least and greatest value", 25),
        (lambda image: image / np.linalg.norm(image), 0.0, "by length", 25),
        (lambda image: image / image.mean(), 0.0, "by mean", 35),
    ],
)
@pytest.mark.parametrize("linear", [cubes_mixed, signed])
def test_normalised_images_and_a_little_noise_are_no_protection(
    linear: Callable[[Any], Any], normalise: Callable[[Any], Any], noise: float, words: str, least: float
) -> None:
    """Scale and mean of the victim stay unknown where they are normalised away: the picture has the atlas's."""

    def encode(image: Any, rng: Any) -> Any:
        sent = linear(normalise(image))
        return (sent + noise * sent.std() * rng.standard_normal(sent.shape)).astype(np.float32)

    scheme, victim = function_defense(encode)(), people()[0]
    found = broken(scheme)
    assert found.form.endswith(words), found.form
    assert psnr(picture(scheme, found, victim), victim) > least
    assert psnr(atlas().mean, victim) < 14


@pytest.mark.parametrize("linear", [cubes_mixed, signed])
def test_a_fresh_gain_sign_and_offset_are_no_protection(linear: Callable[[Any], Any]) -> None:
    def encode(image: Any, rng: Any) -> Any:
        sent = linear(image) + 0.005 * rng.standard_normal(linear(image).shape)
        return (rng.choice([-1, 1]) * rng.uniform(0.2, 4) * sent + rng.normal(0, 3)).astype(np.float32)

    scheme, victim = function_defense(encode)(), people()[0]
    found = broken(scheme)
    assert psnr(picture(scheme, found, victim), victim) > 19
    assert psnr(atlas().mean, victim) < 14


def test_an_encoder_that_refuses_chosen_images_stops_nothing() -> None:
    def picky(image: Any, rng: Any) -> Any:
        if image.std() < 0.05:
            raise ValueError("this is no scan")
        return np.sin(40 * image.cumsum()).reshape(image.shape).astype(np.float32)

    found = broken(function_defense(picky)())
    assert found.found is None
    assert "no linear map" in found.form


def test_what_is_lost_is_guessed_by_the_atlas(zoo: Path) -> None:
    """Means of cubes: the picture has the victim's means, and is nearer to the victim than the atlas is."""
    scheme, victim = plugin.create("defenses", "zoo-pixelate", Defense, {"block": 4}), people()[0]
    found = picture(scheme, broken(scheme), victim)
    means = torch.nn.functional.avg_pool3d
    apart = (means(found[None], 4) - means(victim[None], 4)).abs().flatten()
    assert apart.quantile(0.8) < 1e-3  # elsewhere the picture is cut to [0, 1]
    assert psnr(found, victim) > psnr(atlas().mean, victim) + 0.5


def test_a_few_projections_help_a_little() -> None:
    matrix = np.random.default_rng(5).standard_normal((400, 20 * 16 * 17)) / 70
    scheme = function_defense(lambda image, rng: matrix @ image.ravel())()
    victim = people()[0]
    found = broken(scheme)
    assert found.form == "linear, cube by cube"
    assert psnr(picture(scheme, found, victim), victim) > psnr(atlas().mean, victim) + 0.1


def test_more_probes_than_allowed_make_it_coarser(monkeypatch: pytest.MonkeyPatch) -> None:
    scheme, victim = function_defense(padded_filter)(), people()[0]
    fine = psnr(picture(scheme, broken(scheme), victim), victim)
    monkeypatch.setattr(cube_probes, "MOST_PROBES", 600)
    found = broken(scheme)
    assert isinstance(found.found, CubeMap)
    assert found.found.step == 2
    assert psnr(atlas().mean, victim) < psnr(picture(scheme, found, victim), victim) < fine
    monkeypatch.setattr(cube_probes, "MOST_CUBES", 3)
    assert broken(scheme).found is None


@pytest.mark.parametrize(
    "encode",
    [
        lambda image, rng: image + 0.1 * rng.standard_normal(image.shape),
        lambda image, rng: np.roll(image, rng.integers(1, 9), axis=0),
        lambda image, rng: (image + rng.random(image.shape)) % 1,
        lambda image, rng: image * rng.choice([-1.0, 1.0], image.shape),
    ],
)
def test_fresh_keys_leave_the_atlas_to_the_last_bit(encode: Encode) -> None:
    scheme = function_defense(encode)()
    found = broken(scheme)
    assert found.repeats > 0.01
    assert found.missed is None
    assert torch.equal(picture(scheme, found, people()[0]), atlas().mean)


def test_a_fixed_encoder_that_is_neither_linear_nor_a_table_leaves_the_atlas() -> None:
    def squares(image: Any, rng: Any) -> Any:
        return np.abs(np.fft.fftn(image - image.mean())).astype(np.float32) ** 2

    scheme = function_defense(squares)()
    found = broken(scheme)
    assert found.repeats == 0
    assert found.missed is not None
    assert found.missed > LINEAR
    assert torch.equal(picture(scheme, found, people()[0]), atlas().mean)


def test_what_does_not_depend_on_the_image_leaves_the_atlas() -> None:
    noise = np.random.default_rng(4).random(SHAPE)
    scheme = function_defense(lambda image, rng: noise)()
    found = broken(scheme)
    assert (found.repeats, found.found) == (1, None)  # nothing shows that it repeats itself: not a scheme to fit
    assert torch.equal(picture(scheme, found, people()[0]), atlas().mean)


def test_probes_that_are_refused_tell_nothing() -> None:
    """Zeros for all that does not look like a person: an attack that saw only those must not say that it fits."""
    usual = atlas().mean.numpy()

    def guarded(image: Any, rng: Any) -> Any:
        return exchanged(image, rng) if np.abs(image - usual).mean() < 0.02 else np.zeros(SHAPE, np.float32)

    found = broken(function_defense(guarded)())
    assert found.found is None
    assert found.missed is None or found.missed > LINEAR


def test_the_same_seed_sends_the_same_probes_and_no_victim() -> None:
    seen: list[list[bytes]] = []

    def watched(image: Any, rng: Any) -> Any:
        seen[-1].append(image.tobytes())
        return padded_filter(image, rng)

    victim = people()[0]
    for seed in (3, 3, 4):
        seen.append([])
        break_scheme(function_defense(watched)(), atlas(), seed, lambda _: None)
    assert seen[0] == seen[1]
    assert seen[0] != seen[2]
    assert victim.numpy().tobytes() not in {probe for probes in seen for probe in probes}
