"""Shifts, flips and turns are undone exactly, rigid moves nearly."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.transform import Rotation
from torch import Tensor

from privaudit.imaging.alignment import _sampled, moved_back, rolled_back, symmetries, turned_back
from privaudit.imaging.moves import centred, likeness_of

SIDES = st.integers(3, 8)


def noise(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(st.tuples(SIDES, SIDES, SIDES), st.tuples(*[st.integers(-9, 9)] * 3), st.integers(0, 2**31))
def test_any_cyclic_shift_is_undone(shape: tuple[int, ...], shift: tuple[int, ...], seed: int) -> None:
    image = noise(shape, seed)
    moved = torch.roll(image, shift, dims=(0, 1, 2))
    assert torch.equal(rolled_back(moved, image), image)
    assert torch.equal(rolled_back(1 - moved, image), 1 - image), "the negative's too"


@pytest.mark.parametrize("shape", [(4, 5, 6), (5, 4, 5), (5, 5, 5)])
def test_any_flip_and_turn_is_undone(shape: tuple[int, ...]) -> None:
    image = noise(shape)
    for axes, flips in symmetries(shape):
        moved = torch.roll(image.permute(axes).flip(flips), (1, 2, 3), dims=(0, 1, 2))
        assert torch.equal(turned_back(moved, image), image), (axes, flips)


@given(st.tuples(*[st.integers(1, 3)] * 3))
def test_symmetries_keep_the_shape_and_are_all_different(shape: tuple[int, ...]) -> None:
    places = torch.arange(math.prod(shape)).reshape(shape)
    found = [places.permute(axes).flip(flips) for axes, flips in symmetries(shape)]
    assert all(one.shape == places.shape for one in found)
    orders = sum(tuple(shape[a] for a in axes) == shape for axes in itertools.permutations(range(3)))
    assert len(set(symmetries(shape))) == len(found) == 8 * orders
    if min(shape) > 1:
        assert len({tuple(one.flatten().tolist()) for one in found}) == len(found)


# rigid moves ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def head() -> Tensor:
    """An ellipsoid with a texture, in a box whose sides differ."""
    shape = (40, 48, 36)
    texture = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal(shape), 3)
    places = np.indices(shape) - (np.array(shape)[:, None, None, None] - 1) / 2
    inside = ((places / np.array([14, 18, 12])[:, None, None, None]) ** 2).sum(axis=0) < 1
    image = inside * np.clip(0.5 + 0.15 * texture / texture.std(), 0, 1)
    return torch.from_numpy(image.astype(np.float32))


def moved(image: Tensor, degrees: tuple[float, ...], shift: tuple[float, ...], scale: float = 1.0) -> Tensor:
    turn = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() * scale
    middle = (np.array(image.shape) - 1) / 2
    offset = middle - turn @ middle + np.array(shift)
    return torch.from_numpy(ndimage.affine_transform(image.numpy(), turn, offset, order=1))


def alike(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.flatten(), other.flatten()]))[0, 1])


@pytest.mark.parametrize(
    ("degrees", "shift"),
    [((0, 0, 0), (0, 0, 0)), ((15, 0, 0), (0, 0, 0)), ((0, -15, 5), (3, 0, -2)), ((8, 8, 12), (-2, 4, 3))],
)
def test_a_rigid_move_is_undone(head: Tensor, degrees: tuple[float, ...], shift: tuple[float, ...]) -> None:
    sent = moved(head, degrees, shift)
    back = moved_back(sent, head)
    assert back.shape == head.shape
    assert alike(back, head) > max(0.96, alike(sent, head) - 0.01)
    assert alike(1 - moved_back(1 - sent, head), head) == pytest.approx(alike(back, head), abs=0.01), "the negative's"


def test_stretching_is_undone_where_it_is_looked_for(head: Tensor) -> None:
    sent = moved(head, (5, 0, 0), (1, 0, 0), scale=1.15)
    assert alike(moved_back(sent, head, scaled=True), head) > max(0.95, alike(moved_back(sent, head), head) + 0.02)


def test_it_repeats_and_needs_no_gradients(head: Tensor) -> None:
    sent = moved(head, (10, 0, 0), (0, 2, 0))
    with torch.no_grad():
        first = moved_back(sent, head)
    assert torch.equal(moved_back(sent, head), first)
    assert not first.requires_grad


def test_a_constant_stays(head: Tensor) -> None:
    flat = torch.full_like(head, 0.3)
    for form in (rolled_back, turned_back, moved_back):
        assert torch.allclose(form(flat, head), flat)
        assert torch.isfinite(form(head, flat)).all(), "an atlas that tells nothing"


@pytest.mark.parametrize("seed", range(4))
def test_likeness_after_a_move_and_its_slope(seed: int) -> None:
    """The likeness is that of the volume as torch samples it; the slope is that of small steps."""
    rng = np.random.default_rng(seed)
    seen, target = (ndimage.gaussian_filter(rng.standard_normal((11, 14, 12)), 1.5) for _ in range(2))
    target, move = centred(target), rng.normal(0, 0.1, 9)
    likeness, slope = likeness_of(move, seen, target)
    moved = _sampled(torch.from_numpy(seen), move).numpy()
    assert likeness == pytest.approx(abs(np.corrcoef(moved.ravel(), target.ravel())[0, 1]), abs=1e-12)
    steps = 1e-6 * np.eye(9)
    near = [(likeness_of(move + s, seen, target)[0] - likeness_of(move - s, seen, target)[0]) / 2e-6 for s in steps]
    np.testing.assert_allclose(slope, near, atol=1e-3 * np.abs(slope).max())
