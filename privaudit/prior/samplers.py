"""Samplers of sources given their mixture, one function per published algorithm.

All take a batch of mixtures ``m = Σ a_j x_j`` of S sources and return sources [N, S, *patch]. The first source is the
target. ``score(x, σ)`` is called with [N, S, *patch] and one noise level, and counts as S network evaluations a patch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Score = Callable[[Tensor, float], Tensor]
"""Scores [N, S, *patch] of noisy sources [N, S, *patch] at one noise level."""
Weigh = Callable[[Tensor, Tensor], Tensor]
"""Improves weights [N, S] once denoised sources [N, S, *patch] are known: the M step of EM over α."""
Tick = Callable[[], None]
"""Called after each evaluation of the score."""


def _none() -> None:
    return None


def keep(weights: Tensor, clean: Tensor) -> Tensor:
    """Leave weights as they are."""
    return weights


class Latest:
    """The weights of a run as they are now."""

    def __init__(self, weights: Tensor, improve: Weigh) -> None:
        self.weights, self._improve = weights, improve

    def __call__(self, weights: Tensor, clean: Tensor) -> Tensor:
        """Improve them, and remember."""
        self.weights = self._improve(weights, clean)
        return self.weights


@dataclass(frozen=True)
class Schedule:
    """How often the score of every source is asked for: ``steps`` at each level, and ``last`` more times."""

    levels: int
    steps: int
    last: int

    @property
    def evaluations(self) -> int:
        """Network evaluations per patch and source."""
        return self.levels * self.steps + self.last


def _spread(weights: Tensor, like: Tensor) -> Tensor:
    return weights.reshape(*weights.shape, *(1,) * (like.ndim - weights.ndim))


def _normal(like: Tensor, generator: torch.Generator) -> Tensor:
    """Standard normal noise, drawn on the CPU so that a device changes no figure."""
    return torch.randn(like.shape, generator=generator).to(like)


def misfit(mixture: Tensor, weights: Tensor, sources: Tensor) -> Tensor:
    """``m − Σ a_j x_j`` [N, *patch]."""
    return mixture - (_spread(weights, sources) * sources).sum(dim=1)


def langevin(
    score: Score, mixture: Tensor, weights: Tensor, sigmas: Sequence[float], generator: torch.Generator, *,
    steps: int = 100, delta: float = 3e-5, likelihood: float = 1.0, denoise: bool = False, weigh: Weigh = keep,
    tick: Tick = _none,
) -> Tensor:  # fmt: skip
    """Noise-annealed Langevin dynamics on all sources together (Jayaram & Thickstun, ICML 2020, algorithm 1).

    ``x ← x + η (s(x, σ) + λ a/σ² (m − Σ a x)) + √(2η) ε`` with ``η = δ σ²/σ_L²``.

    Args:
        score: the prior.
        mixture: [N, *patch].
        weights: [N, S].
        sigmas: noise levels, largest first.
        generator: of the noise, on the CPU.
        steps: T, Langevin steps per level.
        delta: step size at the last level.
        likelihood: λ; stable while ``η λ Σa² < 2σ²``.
        denoise: take one last step ``x + σ_L² s(x)`` without noise (NCSNv2).
        weigh: improves the weights at the end of each level.
        tick: called after each evaluation.
    """
    sources = torch.rand((len(mixture), weights.shape[1], *mixture.shape[1:]), generator=generator).to(mixture)
    for sigma in sigmas:
        rate = delta * (sigma / sigmas[-1]) ** 2
        gradient = torch.zeros_like(sources)
        for _ in range(steps):
            gradient = score(sources, sigma)
            tick()
            pull = _spread(weights, sources) * misfit(mixture, weights, sources)[:, None]
            noise = _normal(sources, generator)
            sources = sources + rate * (gradient + likelihood / sigma**2 * pull) + math.sqrt(2 * rate) * noise
        weights = weigh(weights, sources + sigma**2 * gradient)
    return _denoised(score, sources, sigmas[-1], tick) if denoise else sources


def dirac(
    score: Score, mixture: Tensor, weights: Tensor, sigmas: Sequence[float], generator: torch.Generator, *,
    steps: int = 100, delta: float = 3e-5, denoise: bool = True, weigh: Weigh = keep, tick: Tick = _none,
) -> Tensor:  # fmt: skip
    """Langevin dynamics on the surface where the mixture holds exactly (MSDM-Dirac; Mariani et al., ICLR 2024).

    The source with the largest weight, b, is what the others leave: ``x_b = (m − Σ a_j x_j)/a_b``. The others follow
    ``s(x_j) − a_j/a_b · s(x_b)``; there is no likelihood and no weight of it. Eliminating the largest keeps the ratio
    at most 1.

    Arguments as for :func:`langevin`.
    """
    sources = torch.rand((len(mixture), weights.shape[1], *mixture.shape[1:]), generator=generator).to(mixture)
    for sigma in sigmas:
        rate = delta * (sigma / sigmas[-1]) ** 2
        gradient = torch.zeros_like(sources)
        big = torch.nn.functional.one_hot(weights.argmax(dim=1), weights.shape[1]).to(weights)
        ratio = _spread(weights / (weights * big).sum(dim=1, keepdim=True), sources)
        is_big = _spread(big, sources)
        for _ in range(steps):
            sources = _on_surface(sources, mixture, weights, is_big)
            gradient = score(sources, sigma)
            tick()
            inherited = (gradient * is_big).sum(dim=1, keepdim=True)
            drift = gradient - ratio * inherited
            sources = sources + rate * drift + math.sqrt(2 * rate) * _normal(sources, generator)
        sources = _on_surface(sources, mixture, weights, is_big)
        weights = weigh(weights, sources + sigma**2 * gradient)
    if denoise:
        sources = _denoised(score, sources, sigmas[-1], tick)
    return sources


def _on_surface(sources: Tensor, mixture: Tensor, weights: Tensor, is_big: Tensor) -> Tensor:
    """Replace the largest source by what the others leave of the mixture."""
    largest = (weights * is_big.flatten(1)).sum(dim=1)
    rest = misfit(mixture, weights, sources * (1 - is_big))
    return sources * (1 - is_big) + is_big * (rest / _spread(largest, rest))[:, None]


def pigdm(
    score: Score, mixture: Tensor, weights: Tensor, sigmas: Sequence[float], generator: torch.Generator, *,
    spread: Callable[[float], float], noise: float = 1e-3, weigh: Weigh = keep, tick: Tick = _none,
) -> Tensor:  # fmt: skip
    """Few steps of the posterior's probability flow (ΠGDM; Song et al., ICLR 2023) with Heun's rule (EDM, 2022).

    At each level Tweedie's formula gives the expected sources; with a Gaussian of variance ``spread(σ)`` around them,
    the mixture corrects them in closed form, without a gradient of the network: exact for independent Gaussian voxels
    of variance v, where the spread is ``σ²v/(σ² + v)``.

    Args:
        score: the prior.
        mixture: [N, *patch].
        weights: [N, S].
        sigmas: noise levels, largest first; each but the last costs two evaluations.
        generator: of the starting noise.
        spread: variance that is left of a voxel whose patch is seen through noise of level σ.
        noise: standard deviation that the mixture is known within.
        weigh: improves the weights after each level.
        tick: called after each evaluation.
    """
    shape = (len(mixture), weights.shape[1], *mixture.shape[1:])
    sources = sigmas[0] * _normal(mixture.new_empty(shape), generator)

    def expected(x: Tensor, sigma: float) -> Tensor:
        clean = x + sigma**2 * score(x, sigma)
        tick()
        left = spread(sigma)
        gain = left / (left * weights.square().sum(dim=1) + noise**2)
        pull = _spread(gain, mixture) * misfit(mixture, weights, clean)
        return clean + _spread(weights, x) * pull[:, None]

    for sigma, following in zip(sigmas, [*sigmas[1:], 0.0], strict=True):
        clean = expected(sources, sigma)
        slope = (sources - clean) / sigma
        moved = sources + (following - sigma) * slope
        if following > 0:
            again = (moved - expected(moved, following)) / following
            moved = sources + (following - sigma) * 0.5 * (slope + again)
        sources = moved
        weights = weigh(weights, clean)
    return sources


def _denoised(score: Score, sources: Tensor, sigma: float, tick: Tick) -> Tensor:
    tick()
    return sources + sigma**2 * score(sources, sigma)


def least_squares(mixture: Tensor, pooled: bool, shares: Tensor) -> Weigh:
    """The M step of EM over α: the weight of the target under which denoised sources explain the mixture best.

    Args:
        mixture: [N, *patch].
        pooled: whether all patches share one weight.
        shares: what each reference makes of what is mixed in [S - 1], adding up to 1.
    """

    def weigh(weights: Tensor, clean: Tensor) -> Tensor:
        reference = torch.einsum("ns...,s->n...", clean[:, 1:], shares.to(clean))
        apart = (clean[:, 0] - reference).flatten(1)
        along = ((mixture - reference).flatten(1) * apart).sum(dim=1)
        size = apart.square().sum(dim=1)
        if pooled:
            along, size = along.sum().expand_as(along), size.sum().expand_as(size)
        alpha = (along / size.clamp_min(1e-12)).clamp(0.01, 0.99)[:, None]
        return torch.cat([alpha, (1 - alpha) * shares.to(alpha)], dim=1)

    return weigh
