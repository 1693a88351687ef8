"""Averaging the views that test-time augmentation sends, corrected by an atlas.

Test-time augmentation sends K mixtures of one target (equation 5 of Mixup-Privacy), ``m_k = α·x + (1 − α)·r_k``. Their
mean tends to ``α·x + (1 − α)·E[r]``, and E[r] is an atlas. With a Gaussian prior per voxel, mean ``a`` and variance
``v`` for the target, ``b`` and ``w`` for references, the posterior mean of x given all views is closed-form; the mixing
weight, where unknown, is estimated per patch by maximum likelihood from how much the views differ from each other.
With one view this is the Wiener estimate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from privaudit.attack import Attack, Protocol, Task
from privaudit.claims import Reconstruction
from privaudit.knowledge import Atlas, Knowledge, Rung
from privaudit.options import PluginOptions
from privaudit.patches import cut, grid_positions, stitch
from privaudit.transcript import Transcript

VARIANCE_FLOOR = 0.02**2
"""Nobody is known better than to 2 % of the intensity range, also where the sample's variance is 0."""
LIKELIHOOD_VOXELS = 4096
"""Voxels per patch that the likelihood of α is computed on."""


class AverageOptions(PluginOptions):
    """How the views are averaged."""

    views: list[Annotated[int, Field(ge=1)]] = Field(
        default=[1, 2, 5, 10, 20, 30],
        description="numbers K of views to attack with; those above what the defense sends are left out, and what it"
        " sends is always attacked and decides the verdict",
    )
    alpha: Literal["estimated", "known"] = Field(
        default="estimated", description="whether the mixing weights are known (rung 'weights') or estimated"
    )
    grid: Annotated[int, Field(ge=3)] = Field(default=50, description="candidate mixing weights per patch")


@dataclass(frozen=True, eq=False)
class Prior:
    """Gaussian per voxel [N, *patch]: ``mean`` and ``variance`` of the target, and of a reference patch."""

    mean: Tensor
    variance: Tensor
    reference_mean: Tensor
    reference_variance: Tensor


def make_prior(atlas: Atlas, transcript: Transcript, aligned: bool) -> Prior:
    """Cut the prior to the transcript's patches; references from anywhere have one position-free prior."""
    size = (*transcript.views.shape[-3:],)
    mean = cut(atlas.mean, transcript.positions, size)
    variance = cut(atlas.variance, transcript.positions, size).clamp_min(VARIANCE_FLOOR)
    if aligned:
        return Prior(mean, variance, mean, variance)
    half = (max(1, size[0] // 2), max(1, size[1] // 2), max(1, size[2] // 2))
    everywhere = grid_positions(transcript.shape, size, half)
    means = cut(atlas.mean, everywhere, size)
    spread = cut(atlas.variance, everywhere, size).mean(dim=0) + means.var(dim=0, correction=0)
    return Prior(mean, variance, means.mean(dim=0).expand_as(mean), spread.clamp_min(VARIANCE_FLOOR).expand_as(mean))


def posterior_mean(views: Tensor, alpha: Tensor, prior: Prior) -> tuple[Tensor, Tensor]:
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


def _thin(views: Tensor, prior: Prior) -> tuple[Tensor, Prior]:
    """Keep the voxels of each patch where people differ most: views [K, N, T] and prior [N, T].

    Where nobody differs (air), the least misfit of the model would outweigh everything that tells about α.
    """
    variance = prior.variance.flatten(1)
    index = variance.topk(min(LIKELIHOOD_VOXELS, variance.shape[1]), dim=1).indices

    def pick(tensor: Tensor) -> Tensor:
        return tensor.reshape(len(index), -1).gather(1, index)

    kept = (prior.mean, prior.variance, prior.reference_mean, prior.reference_variance)
    return torch.stack([pick(view) for view in views]), Prior(*(pick(tensor) for tensor in kept))


def log_likelihood(views: Tensor, prior: Prior, grid: Tensor) -> Tensor:
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


def estimate_alpha(views: Tensor, prior: Prior, candidates: int, pooled: bool = False) -> Tensor:
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


def estimate_fresh_alpha(views: Tensor, prior: Prior, candidates: int, pooled: bool = False, rounds: int = 5) -> Tensor:
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


class AverageAttack(Attack):
    """Posterior mean of the target, and of the first view's reference, from K views of one target."""

    name = "average"
    summary = "several views of one target, averaged and corrected by the attacker's atlas"
    claim = "reconstruction"
    Options = AverageOptions
    options: AverageOptions

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """One per number of views; the defense's own number is the primary one."""
        rungs = {Rung.TRANSCRIPT, Rung.ATLAS}
        if self.options.alpha == "known":
            rungs.add(Rung.WEIGHTS)
        counts = sorted({k for k in self.options.views if k < views_sent} | {views_sent})
        return tuple(
            Protocol(
                f"K={k}",
                frozenset(rungs | {Rung.VIEWS} if k > 1 else rungs),
                views=k,
                primary=k == views_sent,
                curve="views",
                curve_x=k,
            )
            for k in counts
        )

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Reconstruction]:
        """Yield one picture per request."""
        atlas = knowledge.atlas
        aligned = task.scheme.get("reference_position", "aligned") == "aligned"
        per = task.scheme.get("alpha_per", "patch")
        fresh = per == "request" or (per == "patch" and bool(task.scheme.get("fresh_alpha", False)))
        pooled = per != "patch"
        for transcript in transcripts:
            views = transcript.views
            prior = make_prior(atlas, transcript, aligned)
            if self.options.alpha == "known":
                alpha = torch.from_numpy(knowledge.weights(transcript.request)).float()[: len(views)]
            elif fresh and len(views) > 1:
                alpha = estimate_fresh_alpha(views, prior, self.options.grid, pooled)
            else:
                alpha = estimate_alpha(views, prior, self.options.grid, pooled).expand(views.shape[:2])
            target, spread = posterior_mean(views, alpha, prior)
            yield Reconstruction(
                transcript.request,
                stitch(target, transcript.positions, transcript.shape),
                stitch(_reference(views[0], alpha[0], target, spread, prior), transcript.positions, transcript.shape),
            )


def _reference(view: Tensor, alpha: Tensor, target: Tensor, spread: Tensor, prior: Prior) -> Tensor:
    """Posterior mean of the reference patch in one view, given the target's estimate and its variance."""
    a = alpha.reshape(-1, 1, 1, 1)
    noise = (1 - a) ** 2 * prior.reference_variance + a**2 * spread + 1e-6
    residual = view - a * target - (1 - a) * prior.reference_mean
    return prior.reference_mean + (1 - a) * prior.reference_variance / noise * residual
