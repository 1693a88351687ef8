"""Means over neighbourhoods are those of average pooling, less what lies beyond the border."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.functional import avg_pool3d

from privaudit.imaging.smoothing import box

SIDES = st.integers(7, 10)


@given(st.tuples(SIDES, SIDES, SIDES), st.integers(0, 3), st.integers(0, 2**31))
def test_it_is_average_pooling_with_a_mean_over_what_there_is(
    shape: tuple[int, int, int], radius: int, seed: int
) -> None:
    volume = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    pooled = avg_pool3d(volume[None, None], 2 * radius + 1, stride=1, padding=radius, count_include_pad=False)
    assert torch.allclose(box(volume, radius), pooled[0, 0], atol=1e-12)


def test_a_constant_stays() -> None:
    assert torch.allclose(box(torch.full((5, 7, 6), 0.3), 2), torch.tensor(0.3))


def test_the_volume_is_left_as_it_is() -> None:
    volume = torch.rand(7, 8, 9)
    before = volume.clone()
    box(volume, 1)
    assert torch.equal(volume, before)
