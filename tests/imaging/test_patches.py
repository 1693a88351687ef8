"""Cutting and stitching."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from privaudit.errors import OptionError
from privaudit.imaging.patches import cut, grid_positions, one_hot, stitch

sides = st.tuples(*[st.integers(4, 9)] * 3)


@given(sides, st.integers(2, 4), st.integers(1, 4), st.integers(0, 999))
def test_stitching_what_was_cut_gives_the_volume_back(
    shape: tuple[int, int, int], size: int, stride: int, seed: int
) -> None:
    volume = torch.rand(shape, generator=torch.Generator().manual_seed(seed))
    positions = grid_positions(shape, (size,) * 3, (min(stride, size),) * 3)
    assert torch.allclose(stitch(cut(volume, positions, (size,) * 3), positions, shape), volume, atol=1e-6)


def test_channels_travel_along() -> None:
    volume = torch.rand((3, 5, 4, 6))
    positions = grid_positions((5, 4, 6), (4, 4, 4), (2, 2, 2))
    assert torch.allclose(stitch(cut(volume, positions, (4, 4, 4)), positions, (5, 4, 6)), volume, atol=1e-6)


def test_the_patch_must_fit() -> None:
    with pytest.raises(OptionError, match="does not fit the volume"):
        grid_positions((8, 8, 8), (9, 4, 4), (4, 4, 4))


def test_a_stride_with_gaps_is_refused() -> None:
    with pytest.raises(OptionError, match="stride must lie between 1"):
        grid_positions((8, 8, 8), (4, 4, 4), (5, 4, 4))


def test_uncovered_volumes_are_refused() -> None:
    with pytest.raises(OptionError, match="do not cover"):
        stitch(torch.zeros((1, 2, 2, 2)), grid_positions((2, 2, 2), (2, 2, 2), (2, 2, 2)), (3, 2, 2))


def test_one_hot_is_float_with_classes_first() -> None:
    labels = torch.tensor([[[0, 2]]], dtype=torch.uint8).numpy()
    assert one_hot(labels, 3).flatten(1).tolist() == [[1.0, 0.0], [0.0, 0.0], [0.0, 1.0]]
