"""Means over neighbourhoods are SciPy's, less what lies beyond the border."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import uniform_filter

from privaudit.imaging.smoothing import box

SIDES = st.integers(7, 10)


@given(st.tuples(SIDES, SIDES, SIDES), st.integers(0, 3), st.integers(0, 2**31))
def test_it_is_scipys_uniform_filter_with_a_mean_over_what_there_is(
    shape: tuple[int, int, int], radius: int, seed: int
) -> None:
    volume = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    total, there = (
        torch.from_numpy(uniform_filter(v.numpy(), 2 * radius + 1, mode="constant"))
        for v in (volume, torch.ones_like(volume))
    )
    assert torch.allclose(box(volume, radius), total / there, atol=1e-12)


def test_a_constant_stays() -> None:
    assert torch.allclose(box(torch.full((5, 7, 6), 0.3), 2), torch.tensor(0.3))
