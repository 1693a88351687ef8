"""The linear estimate of mixed images: a Gaussian prior for each voxel, from an atlas.

With mean ``a`` and variance ``v`` for the target, ``b`` and ``w`` for references, the posterior mean of the target
given views ``m_k = α·x + (1 − α)·r_k`` is closed-form; the mixing weight, where unknown, is the likeliest one. With one
view this is the Wiener estimate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.imaging.atlas import Atlas
from privaudit.imaging.mixing import Mixed
from privaudit.imaging.patches import Shape, cut, grid_positions, stitch

VARIANCE_FLOOR: Final = 0.02**2
"""Nobody is known better than to 2 % of the intensity range, also where the sample's variance is 0."""
CANDIDATES: Final = 50
"""Mixing weights that are tried, where nobody says how many."""
LIKELIHOOD_VOXELS: Final = 4096
"""Voxels per patch that the likelihood of α is computed on."""


@dataclass(frozen=True, eq=False)
class MixturePrior:
    """Gaussian per voxel [N, *patch]: ``mean`` and ``variance`` of the target, and of a reference patch."""

    mean: Tensor
    variance: Tensor
    reference_mean: Tensor
    reference_variance: Tensor


def make_prior(atlas: Atlas, positions: NDArray[np.int64], size: Shape, shape: Shape, aligned: bool) -> MixturePrior:
    """Cut the prior to patches of a volume; references from anywhere have one position-free prior.

    Args:
        atlas: of the attacker's sample.
        positions: int64 [N, 3], the patches' corners.
        size: of a patch, in voxels.
        shape: of the volume, in voxels.
        aligned: whether reference patches are cut at the target's place.
    """
    mean = cut(atlas.mean, positions, size)
    variance = cut(atlas.variance, positions, size).clamp_min(VARIANCE_FLOOR)
    if aligned:
        return MixturePrior(mean, variance, mean, variance)
    half = (max(1, size[0] // 2), max(1, size[1] // 2), max(1, size[2] // 2))
    everywhere = grid_positions(shape, size, half)
    means = cut(atlas.mean, everywhere, size)
    spread = cut(atlas.variance, everywhere, size).mean(dim=0) + means.var(dim=0, correction=0)
    return MixturePrior(
        mean, variance, means.mean(dim=0).expand_as(mean), spread.clamp_min(VARIANCE_FLOOR).expand_as(mean)
    )


def posterior_mean(views: Tensor, alpha: Tensor, prior: MixturePrior) -> tuple[Tensor, Tensor]:
    """Mean and variance of the target given all views and their weights.

    Args:
        views: [K, N, *patch].
        alpha: [K, N] in (0, 1].
        prior: cut to the same patches.

    Returns:
        Two tensors [N, *patch].
    """
    precision = 1 / prior.variance
    weighted = prior.mean * precision
    for view, a in zip(views, alpha, strict=True):
        a = a.reshape(-1, *(1,) * (view.ndim - 1))
        # The floor stands for what the model leaves out (noise, misalignment); without it α = 1 would divide by 0.
        noise = (1 - a) ** 2 * prior.reference_variance + 1e-6
        weighted = weighted + a / noise * (view - (1 - a) * prior.reference_mean)
        precision = precision + a**2 / noise
    return weighted / precision, 1 / precision


def _thin(views: Tensor, prior: MixturePrior) -> tuple[Tensor, MixturePrior]:
    """Keep the voxels of each patch where people differ most: views [K, N, T] and prior [N, T].

    Where nobody differs (air), the least misfit of the model would outweigh everything that tells about α.
    """
    variance = prior.variance.flatten(1)
    index = variance.topk(min(LIKELIHOOD_VOXELS, variance.shape[1]), dim=1).indices

    def pick(tensor: Tensor) -> Tensor:
        return tensor.reshape(len(index), -1).gather(1, index)

    kept = (prior.mean, prior.variance, prior.reference_mean, prior.reference_variance)
    return torch.stack([pick(view) for view in views]), MixturePrior(*(pick(tensor) for tensor in kept))


def log_likelihood(views: Tensor, prior: MixturePrior, grid: Tensor) -> Tensor:
    """Log-likelihood [grid, N] of one weight α shared by all views, voxels taken as independent.

    Given α, the K values of a voxel are jointly Gaussian with mean ``αa + (1 − α)b`` and covariance
    ``α²v·11ᵀ + (1 − α)²w·I``; the sample mean and the sum of squares around it are sufficient.
    """
    k = views.shape[0]
    samples, thin = _thin(views, prior)
    mean = samples.mean(dim=0)
    squares = ((samples - mean) ** 2).sum(dim=0)
    a, v, b, w = thin.mean, thin.variance, thin.reference_mean, thin.reference_variance
    out = []
    for alpha in grid.tolist():
        within = (1 - alpha) ** 2 * w + 1e-6
        total = within + k * alpha**2 * v
        gap = mean - alpha * a - (1 - alpha) * b
        terms = (k - 1) * within.log() + squares / within + total.log() + k * gap**2 / total
        out.append(-0.5 * terms.sum(dim=-1))
    return torch.stack(out)


def estimate_alpha(views: Tensor, prior: MixturePrior, candidates: int, pooled: bool = False) -> Tensor:
    """Maximum-likelihood weight of every patch [N], shared by the views, on a grid over (0, 1).

    ``pooled`` estimates one for all patches, for schemes that draw one per volume. From one view, α and 1 − α are
    equally likely; the target is then taken to be the stronger part.
    """
    grid = (torch.arange(candidates) + 0.5) / candidates
    if len(views) == 1:
        grid = grid[grid >= 0.5]
    likelihood = log_likelihood(views, prior, grid)
    if pooled:
        likelihood = likelihood.sum(dim=1, keepdim=True).expand_as(likelihood)
    return grid[likelihood.argmax(dim=0)]


def estimate_fresh_alpha(
    views: Tensor, prior: MixturePrior, candidates: int, pooled: bool = False, rounds: int = 5
) -> Tensor:
    """Weights [K, N] where every view has its own: each in turn is fitted to what the other views say of the target.

    Leaving the view out matters: a strong view would otherwise confirm itself up to α = 1.
    """
    grid = (torch.arange(candidates) + 0.5) / candidates
    alpha = estimate_alpha(views, prior, candidates, pooled).expand(views.shape[:2]).clone()
    samples, thin = _thin(views, prior)
    for _ in range(rounds):
        for k, view in enumerate(samples):
            others = torch.arange(len(samples)) != k
            target, spread = posterior_mean(samples[others], alpha[others], thin)
            scores = []
            for value in grid.tolist():
                total = (1 - value) ** 2 * thin.reference_variance + value**2 * spread + 1e-6
                gap = view - value * target - (1 - value) * thin.reference_mean
                scores.append(-0.5 * (total.log() + gap**2 / total).sum(dim=-1))
            likelihood = torch.stack(scores)
            if pooled:
                likelihood = likelihood.sum(dim=1, keepdim=True).expand_as(likelihood)
            alpha[k] = grid[likelihood.argmax(dim=0)]
    return alpha


def separate(
    views: Tensor, positions: NDArray[np.int64], shape: Shape, atlas: Atlas, mixing: Mixed, *,
    candidates: int = CANDIDATES, alpha: Tensor | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Posterior mean of a target, and of what its first view was mixed with, from K views.

    Args:
        views: float32 [K, N, *patch].
        positions: int64 [N, 3], the patches' corners.
        shape: of the volume, in voxels.
        atlas: of the attacker's sample.
        mixing: how others are mixed in.
        candidates: mixing weights that are tried.
        alpha: the weights, float [K or more, N] in (0, 1], where they are known; None to estimate them.

    Returns:
        Two volumes [X, Y, Z].
    """
    x, y, z = views.shape[-3:]
    prior = make_prior(atlas, positions, (x, y, z), shape, mixing.aligned)
    if alpha is not None:
        alpha = alpha[: len(views)]
    elif mixing.fresh and len(views) > 1:
        alpha = estimate_fresh_alpha(views, prior, candidates, mixing.pooled)
    else:
        alpha = estimate_alpha(views, prior, candidates, mixing.pooled).expand(views.shape[:2])
    target, spread = posterior_mean(views, alpha, prior)
    reference = _reference(views[0], alpha[0], target, spread, prior)
    return stitch(target, positions, shape), stitch(reference, positions, shape)


def _reference(view: Tensor, alpha: Tensor, target: Tensor, spread: Tensor, prior: MixturePrior) -> Tensor:
    """Posterior mean of the reference patch in one view, given the target's estimate and its variance."""
    a = alpha.reshape(-1, 1, 1, 1)
    noise = (1 - a) ** 2 * prior.reference_variance + a**2 * spread + 1e-6
    residual = view - a * target - (1 - a) * prior.reference_mean
    return prior.reference_mean + (1 - a) * prior.reference_variance / noise * residual
