"""Equations 2 to 5: closed forms and invariants."""

import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from privaudit.errors import OptionError
from privaudit.imaging import mixing as mixup


def test_equation_2_by_hand() -> None:
    target = torch.tensor([[1.0, 0.0]])
    reference = torch.tensor([[[0.0, 0.5]]])
    assert torch.allclose(mixup.mix(target, reference, torch.tensor([[0.8]])), torch.tensor([[[0.8, 0.1]]]))


@given(st.integers(0, 2**31), st.integers(1, 3), st.integers(1, 4), st.floats(0.01, 1.0))
def test_naive_unmixing_inverts_mixing(seed: int, views: int, patches: int, alpha: float) -> None:
    g = torch.Generator().manual_seed(seed)
    target = torch.rand((patches, 3, 4, 4, 4), generator=g, dtype=torch.float64)
    reference = torch.rand((views, patches, 3, 4, 4, 4), generator=g, dtype=torch.float64)
    weights = torch.full((views, patches), alpha, dtype=torch.float64)
    back = mixup.unmix(mixup.mix(target, reference, weights), reference, weights)
    assert torch.allclose(back, target.expand_as(back), atol=1e-12 / alpha)


def test_unmixing_at_weight_zero_is_refused() -> None:
    x = torch.zeros((1, 1, 2, 2, 2))
    with pytest.raises(OptionError, match="mixing weight of 0"):
        mixup.unmix(x, x, torch.zeros((1, 1)))


def test_combine_is_the_weighted_mean() -> None:
    references = torch.arange(2 * 3 * 4, dtype=torch.float32).reshape(2, 3, 2, 2)  # [N, k, *rest]
    weights = torch.tensor([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])
    expected = torch.einsum("nk,nkab->nab", weights, references)
    assert torch.allclose(mixup.combine(references, weights), expected)


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 5), st.sampled_from(["patch", "request", "volume"]))
def test_alpha_varies_only_over_what_it_should(seed: int, views: int, patches: int, per: mixup.AlphaPer) -> None:
    alpha = mixup.draw_alpha(random.Random(seed), 0.0, 1.0, views, patches, per, fresh=False)
    assert alpha.shape == (views, patches)
    assert ((alpha > 0) & (alpha <= 1)).all()
    if per == "patch":
        assert (alpha == alpha[:1]).all()
        assert len(np.unique(alpha)) == patches
    elif per == "request":
        assert (alpha == alpha[:, :1]).all()
        assert len(np.unique(alpha)) == views
    else:
        assert len(np.unique(alpha)) == 1


def test_fresh_alpha_differs_everywhere() -> None:
    alpha = mixup.draw_alpha(random.Random(1), 0.0, 1.0, 3, 5, "patch", fresh=True)
    assert len(np.unique(alpha)) == 15


def test_alpha_is_uniform_on_its_range() -> None:
    alpha = mixup.draw_alpha(random.Random(0), 0.2, 0.6, 1, 20000, "patch", fresh=False)
    assert alpha.min() >= 0.2
    assert alpha.max() <= 0.6
    # Kolmogorov–Smirnov distance of n uniform draws exceeds 1.95/√n once in a thousand.
    ranks = np.arange(1, alpha.size + 1) / alpha.size
    assert np.abs((np.sort(alpha.ravel()) - 0.2) / 0.4 - ranks).max() < 1.95 / np.sqrt(alpha.size)


@given(st.integers(0, 10**6), st.integers(2, 12), st.integers(1, 6), st.integers(1, 4), st.integers(1, 2))
def test_references_do_not_repeat_while_the_pool_lasts(seed: int, pool: int, views: int, patches: int, k: int) -> None:
    drawn = mixup.draw_subjects(random.Random(seed), pool, views, patches, k, per_volume=False)
    assert drawn.shape == (views, patches, k)
    for n in range(patches):
        for v in range(views):
            assert len(set(drawn[v, n].tolist())) == k
        if views * k <= pool:
            assert len(np.unique(drawn[:, n])) == views * k


def test_one_reference_per_volume_serves_every_patch() -> None:
    drawn = mixup.draw_subjects(random.Random(3), 9, 4, 7, 1, per_volume=True)
    assert (drawn == drawn[:, :1]).all()


def test_a_pool_smaller_than_k_is_refused() -> None:
    with pytest.raises(OptionError, match="pool is too small; got 1"):
        mixup.draw_subjects(random.Random(0), 1, 1, 1, 2, per_volume=False)


@given(st.integers(0, 10**6), st.integers(1, 5))
def test_simplex_weights_add_up_to_one(seed: int, k: int) -> None:
    weights = mixup.draw_weights(random.Random(seed), 2, 3, k, equal=False)
    assert np.allclose(weights.sum(axis=-1), 1)
    assert (weights >= 0).all()


def test_random_corners_stay_inside() -> None:
    positions = np.zeros((50, 3), dtype=np.int64)
    corners = mixup.draw_corners(random.Random(0), positions, (40, 36, 32), (32, 32, 32), 2, 1, aligned=False)
    assert corners.min() == 0
    assert corners.max(axis=(0, 1, 2)).tolist() == [8, 4, 0]


def test_system_randomness_fits_the_same_call() -> None:
    source = random.SystemRandom()
    one, two = (mixup.draw_alpha(source, 0.0, 1.0, 1, 4, "patch", fresh=False) for _ in range(2))
    assert (one != two).any()
