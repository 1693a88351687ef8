"""Random smooth deformations: reversible, without folds, nothing at strength 0."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from privaudit.contracts import plugin
from privaudit.contracts.defense import Defense
from privaudit.imaging.deformation import draw_velocity, integrate, jacobian, warp
from privaudit.imaging.patches import Shape

SHAPE: Shape = (72, 96, 80)


def smooth(shape: Shape) -> torch.Tensor:
    axes = torch.meshgrid(*(torch.linspace(0, 6, side) for side in shape), indexing="ij")
    return (0.5 + 0.5 * torch.sin(axes[0]) * torch.cos(axes[1]) * torch.sin(1 + axes[2]))[None]


def test_a_constant_velocity_is_a_translation() -> None:
    image = smooth((20, 22, 24))
    velocity = torch.zeros(3, 20, 22, 24)
    velocity[1] = 2.0
    moved = warp(image, integrate(velocity))
    torch.testing.assert_close(moved[:, :, :-2], image[:, :, 2:], atol=1e-4, rtol=0)


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32), strength=st.floats(0.5, 4.0))
def test_unwarping_undoes_warping_and_nothing_folds(seed: int, strength: float) -> None:
    velocity = draw_velocity(random.Random(seed), SHAPE, strength, 16)
    there, back = integrate(velocity), integrate(-velocity)
    assert float(jacobian(there).min()) > 0
    assert float(jacobian(back).min()) > 0
    image = smooth(SHAPE)
    again = warp(warp(image, there), back)
    inner = (slice(None), *(slice(8, -8),) * 3)
    assert float((again - image)[inner].abs().mean()) < 0.01
    labels = torch.nn.functional.one_hot((3 * image[0]).long().clamp(0, 2), 3).movedim(-1, 0).float()
    recovered = warp(warp(labels, there), back).argmax(dim=0)
    assert float((recovered == labels.argmax(dim=0)).float().mean()) > 0.95


def test_at_strength_zero_nothing_moves() -> None:
    velocity = draw_velocity(random.Random(0), (32, 32, 32), 0.0, 16)
    image = torch.rand(1, 32, 32, 32)
    torch.testing.assert_close(warp(image, integrate(velocity)), image, atol=1e-5, rtol=0)


def test_the_default_moves_voxels_by_some_and_the_key_is_the_clients_alone() -> None:
    defense = plugin.create("defenses", "deformation", Defense, {"weights": "none"})
    keys = [defense.draw_key(SHAPE, [], random.Random(seed)) for seed in (0, 1)]
    moved = integrate(keys[0].velocity).norm(dim=0)  # type: ignore[attr-defined]
    assert 1.0 < float(moved.mean()) < 8.0
    image = smooth(SHAPE)[0]
    first, second = (defense.encode(image, key, 2) for key in keys)
    assert torch.equal(first.views[0], first.views[1]), "a second view tells nothing more"
    assert float((first.views - second.views).abs().mean()) > 0.01, "another key is another image"
    assert repr(keys[0]) == "<DeformationKey: secret>"
    assert first.positions.tolist() == [[0, 0, 0]]
    assert np.isfinite(first.views.numpy()).all()


@pytest.mark.parametrize("values", [{"strength": -1}, {"spacing": 2}])
def test_options_that_make_no_sense_are_refused(values: dict[str, object]) -> None:
    from privaudit.errors import OptionError

    with pytest.raises(OptionError):
        plugin.create("defenses", "deformation", Defense, values)
