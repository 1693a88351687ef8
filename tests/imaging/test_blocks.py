"""Blocks are cut and put together without loss, and scrambled ones find their places again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

from privaudit.imaging.alignment import symmetries
from privaudit.imaging.blocks import all_alike, blocks_of, put_back, with_blocks

SIDES = st.integers(1, 9)


@given(st.tuples(SIDES, SIDES, SIDES), st.integers(1, 4))
def test_blocks_are_cut_and_put_together(shape: tuple[int, int, int], side: int) -> None:
    volume = torch.rand(shape)
    blocks = blocks_of(volume, side)
    counts = [size // side for size in shape]
    assert blocks.shape == (np.prod(counts), side, side, side)
    assert torch.equal(with_blocks(volume, blocks), volume)
    a, b, c = (count * side for count in counts)
    inverted = with_blocks(volume, 1 - blocks)
    assert torch.equal(inverted[:a, :b, :c], 1 - volume[:a, :b, :c])
    inverted[:a, :b, :c] = volume[:a, :b, :c]
    assert torch.equal(inverted, volume), "what is left over stays"


def test_blocks_are_in_order() -> None:
    volume = torch.arange(4 * 6 * 4).reshape(4, 6, 4)
    assert torch.equal(blocks_of(volume, 2)[1], volume[:2, :2, 2:])
    assert torch.equal(blocks_of(volume, 2)[2], volume[:2, 2:4, :2])


@pytest.fixture(scope="module")
def image() -> Tensor:
    """Smooth; what is left over beyond the last whole block shows black and white, as a background does."""
    smooth = ndimage.gaussian_filter(np.random.default_rng(0).standard_normal((25, 34, 32)), 2)
    found = torch.from_numpy((smooth - smooth.min()) / np.ptp(smooth)).float()
    found[-1, -1, -2:] = torch.tensor([0.0, 1.0])
    return found


@pytest.mark.parametrize("side", [4, 8])
@pytest.mark.parametrize("what", ["places", "turns", "turns and inversions"])
def test_scrambled_blocks_are_put_back(image: Tensor, side: int, what: str) -> None:
    rng = np.random.default_rng(side)
    blocks = blocks_of(image, side)
    mixed = blocks[torch.from_numpy(rng.permutation(len(blocks)))]
    ways = symmetries((side,) * 3)
    for number, block in enumerate(mixed.clone()):
        axes, flips = ways[rng.integers(len(ways))]
        if what != "places":
            mixed[number] = block.permute(axes).flip(flips)
        if what == "turns and inversions" and rng.random() < 0.5:
            mixed[number] = 1 - mixed[number]
    sent = with_blocks(image, mixed)
    assert not torch.allclose(sent, image, atol=0.1)
    assert torch.allclose(put_back(sent, image, side), image, atol=1e-6)
    assert torch.allclose(put_back(3 * sent - 1, image, side), 3 * image - 1, atol=1e-5), "in any range of values"


@pytest.mark.parametrize("side", [4, 8])
def test_noise_stays_as_it_is(image: Tensor, side: int) -> None:
    assert not all_alike(blocks_of(image, side))
    for seed in range(10):
        g = torch.Generator().manual_seed(seed)
        for noise in (torch.rand(image.shape, generator=g), torch.randn(image.shape, generator=g)):
            assert all_alike(blocks_of(noise, side))
            assert torch.equal(put_back(noise, image, side), noise)


@pytest.mark.parametrize("side", [4, 20, 32, 40])
def test_a_constant_and_too_few_blocks_stay(image: Tensor, side: int) -> None:
    flat = torch.full_like(image, 0.3)
    assert torch.allclose(put_back(flat, image, side), flat)
    if side > 16:
        assert torch.equal(put_back(image.flip(0), image, side), image.flip(0))
