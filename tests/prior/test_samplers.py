"""Samplers against the exact posterior of a Gaussian prior, whose score is known in closed form."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from privaudit.prior.noise import edm, geometric, ncsnv2
from privaudit.prior.samplers import dirac, langevin, misfit, pigdm

MEAN, VARIANCE = 0.4, 0.04
PATCHES, SIDE = 40, 6
VOXELS = PATCHES * SIDE**3
Sampler = Callable[[Tensor, Tensor, torch.Generator], Tensor]


def score(x: Tensor, sigma: float) -> Tensor:
    return -(x - MEAN) / (VARIANCE + sigma**2)


def spread(sigma: float) -> float:
    return sigma**2 * VARIANCE / (sigma**2 + VARIANCE)


SAMPLERS: dict[str, Sampler] = {
    "langevin": lambda m, a, g: langevin(score, m, a, geometric(1.0, 0.01, 10), g, steps=100, delta=3e-5),
    "langevin-ncsnv2": lambda m, a, g: langevin(
        score, m, a, ncsnv2(1.0, 0.01, 1000), g, steps=8, delta=3e-5, denoise=True
    ),
    "dirac": lambda m, a, g: dirac(score, m, a, geometric(1.0, 0.01, 10), g, steps=100, delta=3e-5),
    "pigdm": lambda m, a, g: pigdm(score, m, a, edm(10.0, 0.01, 18), g, spread=spread),
}


def drawn(alpha: float, sources: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    x = MEAN + math.sqrt(VARIANCE) * torch.randn((PATCHES, sources, SIDE, SIDE, SIDE), generator=generator)
    shares = torch.tensor([alpha, *[(1 - alpha) / (sources - 1)] * (sources - 1)])
    weights = shares.expand(PATCHES, sources)
    return x, weights, misfit(torch.zeros(PATCHES, SIDE, SIDE, SIDE), -weights, x)


@pytest.mark.parametrize("name", list(SAMPLERS))
@pytest.mark.parametrize(("alpha", "sources"), [(0.5, 2), (0.8, 2), (0.15, 2), (0.5, 3)])
def test_mean_and_covariance_are_those_of_the_exact_posterior(name: str, alpha: float, sources: int) -> None:
    _, weights, mixture = drawn(alpha, sources)
    a = weights[0]
    gain = VARIANCE * a / (VARIANCE * a.square().sum())
    expected = MEAN + gain[None, :, None, None, None] * (mixture - MEAN * a.sum())[:, None]
    covariance = VARIANCE * (torch.eye(sources) - torch.outer(a, a) / a.square().sum())
    found = SAMPLERS[name](mixture, weights, torch.Generator().manual_seed(1))
    rest = (found - expected).movedim(1, -1).reshape(-1, sources)
    # Monte Carlo: four standard errors of a mean and of a variance, and the few per cent by which a chain of finite
    # steps and a last level of 0.01 miss the limit.
    error = 4 * math.sqrt(VARIANCE / VOXELS)
    assert float(rest.mean(dim=0).abs().max()) < error + 0.004
    spread = rest.T @ rest / len(rest)
    assert float((spread - covariance).abs().max()) < VARIANCE * (4 * math.sqrt(2 / VOXELS) + 0.06)


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_the_mixture_is_explained(name: str) -> None:
    _, weights, mixture = drawn(0.7)
    found = SAMPLERS[name](mixture, weights, torch.Generator().manual_seed(1))
    assert float(misfit(mixture, weights, found).square().mean().sqrt()) < 0.02


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_the_same_seed_gives_the_same_sources_and_another_seed_others(name: str) -> None:
    _, weights, mixture = drawn(0.6)
    runs = [SAMPLERS[name](mixture[:2], weights[:2], torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(runs[0], runs[1])
    assert not torch.allclose(runs[0], runs[2], atol=1e-3)


GREYS = (0.35, 0.75)


def two_greys(x: Tensor, sigma: float) -> Tensor:
    """Score of voxels that are one of two greys, as often: what separation can use, and no linear filter."""
    width = sigma**2 + 1e-4
    logits = torch.stack([-((x - grey) ** 2) / (2 * width) for grey in GREYS])
    share = logits.softmax(dim=0)
    return (share[0] * (GREYS[0] - x) + share[1] * (GREYS[1] - x)) / width


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "pigdm"])
def test_what_is_not_gaussian_is_separated_better_than_by_looking_or_linearly(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not so 'pigdm', which takes what is left open at each level for Gaussian: there it only equals the linear one."""
    generator = torch.Generator().manual_seed(3)
    x = torch.tensor(GREYS)[torch.randint(2, (20, 2, SIDE, SIDE, SIDE), generator=generator)]
    weights = torch.tensor([[0.8, 0.2]]).expand(20, 2)
    mixture = misfit(torch.zeros(20, SIDE, SIDE, SIDE), -weights, x)
    mean, variance = sum(GREYS) / 2, ((GREYS[1] - GREYS[0]) / 2) ** 2
    gain = 0.8 * variance / (variance * float(weights[0].square().sum()))
    errors = {
        "as-is": float((mixture - x[:, 0]).square().mean()),
        "linear": float((mean + gain * (mixture - mean) - x[:, 0]).square().mean()),
    }
    monkeypatch.setitem(globals(), "score", two_greys)
    found = SAMPLERS[name](mixture, weights, torch.Generator().manual_seed(1))
    assert float((found[:, 0] - x[:, 0]).square().mean()) < 0.75 * min(errors.values())


@pytest.mark.parametrize("name", list(SAMPLERS))
def test_noise_is_not_separated(name: str) -> None:
    """What holds nothing of the target tells nothing of it."""
    x, weights, _ = drawn(0.7)
    noise = torch.rand(PATCHES, SIDE, SIDE, SIDE, generator=torch.Generator().manual_seed(9))
    found = SAMPLERS[name](noise, weights, torch.Generator().manual_seed(1))
    error, knowing_nothing = (float((guess - x[:, 0]).square().mean()) for guess in (found[:, 0], torch.tensor(MEAN)))
    assert error > knowing_nothing


def test_unknown_weights_improve_by_the_m_step() -> None:
    from privaudit.prior.samplers import least_squares

    x, weights, mixture = drawn(0.8)
    found = least_squares(mixture, pooled=False, shares=torch.ones(1))(torch.full_like(weights, 0.5), x)
    torch.testing.assert_close(found, weights, atol=1e-4, rtol=0)


def test_levels_are_counted_and_evaluations_told() -> None:
    ticks: list[int] = []
    _, weights, mixture = drawn(0.6)
    pigdm(
        score, mixture, weights, edm(10.0, 0.01, 10), torch.Generator().manual_seed(0), spread=spread,
        tick=lambda: ticks.append(1),
    )  # fmt: skip
    assert len(ticks) == 19
