"""Normal forms undo what they are for, and give volumes whatever they are given."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

from privaudit.imaging.atlas import Atlas
from privaudit.imaging.forms import FIRST, LAST, PLACES, Chain
from privaudit.imaging.grey_tables import means_by_level

SHAPE = (18, 20, 17)
UNDO = Chain(last="grey values by table")


def smooth(seed: int, shape: tuple[int, ...] = SHAPE) -> Tensor:
    field = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), 2)
    return torch.from_numpy((field - field.min()) / np.ptp(field)).float()


@pytest.fixture(scope="module")
def atlas() -> Atlas:
    people = torch.stack([smooth(seed) for seed in range(4)])
    return Atlas(people.mean(dim=0), people.var(dim=0))


@pytest.mark.parametrize("kind", ["image", "constant", "noise"])
@pytest.mark.parametrize("place", PLACES)
def test_every_chain_gives_a_finite_volume_of_the_shape(kind: str, place: str, atlas: Atlas) -> None:
    noise = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    volume = {"image": smooth(9), "constant": torch.full(SHAPE, 0.3), "noise": noise}[kind]
    for first in FIRST:
        begun = Chain(first, place)(volume, atlas)
        for last in LAST:
            found = LAST[last](begun, atlas)
            assert found.shape == volume.shape, (first, last)
            assert found.dtype == volume.dtype
            assert bool(torch.isfinite(found).all()), (first, last)
        if kind == "constant":
            assert float(begun.std()) < 1e-3, "what tells nothing stays so"


def test_a_chain_is_its_forms_in_order(atlas: Atlas) -> None:
    volume = -torch.roll(smooth(9), (1, 2, 3), dims=(0, 1, 2))
    chain = Chain("sizes", "rolled back", "grey values by table")
    step = LAST[chain.last](PLACES[chain.place](FIRST[chain.first](volume, atlas), atlas), atlas)
    assert torch.equal(chain(volume, atlas), step)
    assert str(chain) == "sizes, rolled back, grey values by table"
    assert str(Chain()) == "values"
    names = {str(Chain(*parts)) for parts in itertools.product(FIRST, PLACES, LAST)}
    assert len(names) == len(FIRST) * len(PLACES) * len(LAST)


def same(image: Tensor) -> Atlas:
    return Atlas(image, torch.ones_like(image))


def test_a_table_of_few_grey_levels_is_undone_exactly() -> None:
    level = (smooth(0) * 63).round().long()
    image = level.float() / 63
    secret = torch.randperm(64, generator=torch.Generator().manual_seed(0))
    for sent in (image**3, 1 - image, secret[level].float(), 5 * secret[level].float() - 70):
        assert torch.allclose(UNDO(sent, same(image)), image, atol=1e-6)


def test_a_monotone_table_of_many_grey_levels_is_undone_nearly() -> None:
    image = smooth(0)
    assert len(torch.unique(image)) > 1000
    for sent in (image**3, image.exp(), -image):
        assert float((UNDO(sent, same(image)) - image).square().mean().sqrt()) < 0.01


def test_signs_are_undone_by_sizes(atlas: Atlas) -> None:
    image = smooth(0)
    signs = torch.randint(0, 2, SHAPE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert torch.equal(Chain("sizes")(image * signs, atlas), image)


def test_a_negative_is_as_far_from_mid_grey(atlas: Atlas) -> None:
    image = smooth(0)
    chain = Chain("distance from mid-grey")
    assert torch.allclose(chain(1 - image, atlas), chain(image, atlas), atol=1e-6)


@pytest.mark.parametrize("added", [0.0, 5.0, 1000.0])
def test_neither_signs_nor_a_constant_hide_edges_from_local_spread(added: float, atlas: Atlas) -> None:
    image, spread = smooth(0), Chain("local spread")
    seen = spread(image, atlas)
    assert float(seen.std()) > 0.01
    for sent in (image + added, added - image):
        assert torch.allclose(spread(sent, atlas), seen, atol=2e-3)


NUMBERS = st.floats(-1e6, 1e6, width=32)


@given(st.lists(NUMBERS, min_size=1, max_size=300), st.lists(NUMBERS, min_size=1, max_size=40, unique=True))
def test_means_by_level_are_those_of_a_plain_search(values: list[float], levels: list[float]) -> None:
    seen, steps = np.array(values, np.float32), np.unique(np.array(levels, np.float32))
    other = np.arange(len(seen), dtype=np.float32)
    level = np.searchsorted(steps, seen).clip(max=len(steps) - 1)
    count, total = np.bincount(level, minlength=len(steps)), np.bincount(level, other, minlength=len(steps))
    expected = (total / count.clip(min=1)).astype(np.float32)[level]
    np.testing.assert_array_equal(means_by_level(seen, steps, other), expected)


def test_means_by_level_of_what_is_no_number() -> None:
    strange = np.array([np.nan, np.inf, -np.inf, 0.5], np.float32)
    found = means_by_level(strange, np.array([-np.inf, 0, 1, np.inf], np.float32), np.arange(4, dtype=np.float32))
    assert found[3] == 3
    assert found[1] == 1
