"""The averaging attack against its own generative model, where the answer is known."""

import numpy as np
import pytest
import torch

from privaudit.imaging.unmixing import MixturePrior, estimate_alpha, estimate_fresh_alpha, posterior_mean

SIZE = (12, 12, 12)


def scene(alpha: torch.Tensor, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, MixturePrior]:
    """Views [K, N] drawn from the model itself: target, views, prior."""
    g = torch.Generator().manual_seed(seed)
    n = alpha.shape[1]
    mean = torch.rand((n, *SIZE), generator=g)
    variance = 0.01 + 0.03 * torch.rand((n, *SIZE), generator=g)
    target = mean + variance.sqrt() * torch.randn((n, *SIZE), generator=g)
    references = mean + variance.sqrt() * torch.randn((*alpha.shape, *SIZE), generator=g)
    a = alpha[..., None, None, None]
    return target, a * target + (1 - a) * references, MixturePrior(mean, variance, mean, variance)


@pytest.mark.parametrize("true", [0.2, 0.5, 0.9])
def test_a_shared_weight_is_found(true: float) -> None:
    _, views, prior = scene(torch.full((6, 3), true))
    assert estimate_alpha(views, prior, 50).tolist() == pytest.approx([true] * 3, abs=0.03)


def test_one_weight_for_all_patches_is_pooled() -> None:
    _, views, prior = scene(torch.full((2, 8), 0.37))
    pooled = estimate_alpha(views, prior, 50, pooled=True)
    assert len(set(pooled.tolist())) == 1
    assert pooled[0].item() == pytest.approx(0.37, abs=0.02)


def test_fresh_weights_are_found() -> None:
    alpha = torch.tensor([[0.3], [0.5], [0.7], [0.9], [0.4], [0.6]])
    _, views, prior = scene(alpha)
    assert estimate_fresh_alpha(views, prior, 50)[:, 0].tolist() == pytest.approx(alpha[:, 0].tolist(), abs=0.06)


def test_posterior_mean_and_variance_are_exact() -> None:
    """One voxel, solved as a linear Gaussian system."""
    alpha = torch.tensor([[0.4], [0.7]])
    _, views, prior = scene(alpha)
    mean, variance = posterior_mean(views, alpha, prior)
    a, v = prior.mean[0, 0, 0, 0].double(), prior.variance[0, 0, 0, 0].double()
    weights = alpha[:, 0].double()
    noise = torch.diag((1 - weights) ** 2 * v + 1e-6)
    total = v * torch.outer(weights, weights) + noise
    gain = v * weights @ torch.linalg.inv(total)
    expected = a + gain @ (views[:, 0, 0, 0, 0].double() - a)
    assert mean[0, 0, 0, 0].item() == pytest.approx(expected.item(), abs=1e-5)
    assert variance[0, 0, 0, 0].item() == pytest.approx((v - gain @ weights * v).item(), abs=1e-5)


def test_more_views_tell_more() -> None:
    alpha = torch.full((16, 2), 0.5)
    target, views, prior = scene(alpha)
    errors = [((posterior_mean(views[:k], alpha[:k], prior)[0] - target) ** 2).mean().item() for k in (1, 2, 4, 8, 16)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.2 * errors[0]


def test_a_weight_of_one_gives_the_view_itself() -> None:
    target, views, prior = scene(torch.ones((1, 2)))
    mean, _ = posterior_mean(views, torch.ones((1, 2)), prior)
    assert np.allclose(mean, target, atol=1e-3)
