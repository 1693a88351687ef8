"""Blind source separation with a score prior: the paper's own attack, and tuned ones.

Given a mixture ``m = α x₁ + (1 − α) x₂``, sample target and reference from their posterior under a prior of patches
that was trained on the attacker's population sample (``privaudit train --prior``). ``langevin`` with its defaults is
the published attack (Jayaram & Thickstun, 2020, with the networks of Mixup-Privacy); the others are what somebody would
do who wants it to work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from privaudit.attack import Attack, Facts, Learned, Protocol, Task
from privaudit.claims import Reconstruction
from privaudit.errors import OptionError
from privaudit.knowledge import Knowledge, Rung
from privaudit.options import PluginOptions
from privaudit.patches import cut, grid_positions, stitch
from privaudit.prior.noise import edm, geometric, ncsnv2
from privaudit.prior.samplers import Weigh, dirac, langevin, least_squares, misfit, pigdm
from privaudit.prior.weights import Prior, find_prior, load_prior, prior_misfit, score_sources
from privaudit.transcript import Transcript
from privaudit_attacks.average import estimate_alpha, make_prior

Sampler = Literal["langevin", "langevin-ncsnv2", "dirac", "pigdm"]
WHOLE: Final = 32
"""Side of the patches that whole volumes are cut to."""
RESIDUAL = 0.03
"""Root mean square by which separated sources may miss the mixture."""
ALPHA_GRID = 50
"""Candidate mixing weights, where they are estimated."""


class BssOptions(PluginOptions):
    """Which sampler, with what knowledge, at what cost."""

    sampler: Sampler = Field(
        default="pigdm", description="'langevin' is the paper's; 'pigdm' needs a twentieth of its evaluations"
    )
    alpha: Literal["known", "estimated", "unknown"] = Field(
        default="estimated",
        description="mixing weights: known (rung 'weights'), estimated from the atlas and by EM, or drawn at random",
    )
    prior: str = Field(
        default="auto", description="trained prior: a folder, or a shipped one by name; 'auto' finds one"
    )
    restarts: Annotated[int, Field(ge=1)] = Field(
        default=1, description="independent samples, M; their mean is claimed"
    )
    patches: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="patches attacked per scan, those with most tissue in the atlas; null for all"
    )
    levels: Annotated[int, Field(ge=2)] | None = Field(
        default=None, description="noise levels; null for 10 (langevin, dirac), NCSNv2's count, or 25 (pigdm)"
    )
    steps: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Langevin steps per level; null for 100 (langevin, dirac) or 5 (langevin-ncsnv2)"
    )
    delta: Annotated[float, Field(gt=0)] = Field(default=3e-5, description="Langevin step size at the last level")
    likelihood: Annotated[float, Field(gt=0)] = Field(default=1.0, description="weight of the mixture, λ")
    sigma_max: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="first noise level; null for 1 (Langevin), or the prior's largest (pigdm)"
    )
    sigma_min: Annotated[float, Field(gt=0)] = Field(default=0.01, description="last noise level")
    batch: Annotated[int, Field(ge=1)] = Field(default=16, description="patches per evaluation of the network")


def recut(transcript: Transcript, size: int) -> Transcript:
    """The first view in patches of ``size``, where it was sent in others or as a whole volume."""
    if tuple(transcript.views.shape[-3:]) == (size,) * 3:
        return transcript.first(1)
    positions = grid_positions(transcript.shape, (size,) * 3, (size,) * 3)
    return replace(transcript, views=cut(transcript.stitched(), positions, (size,) * 3)[None], positions=positions)


class Latest:
    """The weights of a run as they are now."""

    def __init__(self, weights: Tensor, improve: Weigh) -> None:
        self.weights, self._improve = weights, improve

    def __call__(self, weights: Tensor, clean: Tensor) -> Tensor:
        """Improve them, and remember."""
        self.weights = self._improve(weights, clean)
        return self.weights


class BssAttack(Attack):
    """Posterior samples of target and reference under a score prior."""

    name = "bss"
    summary = "blind source separation: target and reference sampled under a score prior of raw patches"
    claim = "reconstruction"
    Options = BssOptions
    options: BssOptions
    beside = ("wiener",)

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """One, with one view, as the paper's."""
        rungs = {Rung.TRANSCRIPT, Rung.POPULATION, Rung.ATLAS}
        if self.options.alpha == "known":
            rungs.add(Rung.WEIGHTS)
        return (Protocol(f"{self.options.sampler} alpha-{self.options.alpha}", frozenset(rungs)),)

    def learned(self, facts: Facts) -> Sequence[Learned]:
        """The prior.

        Raises:
            OptionError: there is none that fits.
        """
        prior = self._prior(facts)
        weak = ", ".join(f"{sigma:.3g}" for sigma in prior.weak_levels())
        unhealthy = (f"the prior errs no less than a trivial predictor at σ = {weak}",) if weak else ()
        return (Learned(prior.name, prior.digest, tuple(prior.config.people), unhealthy),)

    def complaints(self, rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        """Sources that do not add up to the mixture are no separation."""
        residual = float(np.mean([row["residual"] for row in rows])) if rows else 0.0
        if residual <= RESIDUAL:
            return ()
        return (f"the sources miss the mixture by {residual:.3f} (root mean square, at most {RESIDUAL:g})",)

    def _prior(self, facts: Facts) -> Prior:
        size = facts.patch_size or WHOLE
        train = f"privaudit train --prior --dataset {facts.dataset} --train.patch-size {size}"
        if self.options.prior == "auto":
            found = find_prior(facts.kind, facts.voxel_mm, size)
            if found is None:
                raise OptionError(
                    "no shipped prior fits these data",
                    got=f"{facts.kind} people, {facts.voxel_mm:g} mm, patches of {size}",
                    todo=f"train one with '{train}' and the audit's split and seed, then give --prior FOLDER",
                )
            return found
        prior = load_prior(Path(self.options.prior))
        reason = prior_misfit(prior.config, facts.voxel_mm, size)
        if reason is not None:
            raise OptionError(f"the prior '{prior.name}' does not fit: {reason}", todo=f"train one with '{train}'")
        return prior

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Reconstruction]:
        """Yield one picture of target and reference per request."""
        prior = self._prior(task.facts)
        torch.nn.Module.to(prior.network, device=task.device)
        evaluations = self._evaluations(prior)
        for transcript in transcripts:
            done = 0.0

            def tick() -> None:
                nonlocal done
                share = 0.999 / evaluations / self.options.restarts
                done += share
                task.advance(share)

            yield self._separate(transcript, knowledge, task, prior, tick)
            task.advance(-done)  # the core counts the whole request once it is scored

    def _separate(
        self, transcript: Transcript, knowledge: Knowledge, task: Task, prior: Prior, tick: Callable[[], None]
    ) -> Reconstruction:
        transcript = recut(transcript, prior.config.patch_size)
        chosen = self._choose(transcript, knowledge)
        mixture = transcript.views[0][chosen]
        corners = torch.from_numpy(transcript.positions[chosen])
        where = prior.where(corners, transcript.shape)
        generator = task.generator(transcript.request)

        def score(x: Tensor, sigma: float) -> Tensor:
            return score_sources(prior.network, x, sigma, where, self.options.batch)

        draws, residuals = [], []
        for _ in range(self.options.restarts):
            weights, weigh = self._weights(transcript, knowledge, task.scheme, chosen, generator)
            used = Latest(weights, weigh)
            draws.append(self._sample(score, mixture, weights, generator, prior, used, tick))
            residuals.append(float(misfit(mixture, used.weights, draws[-1]).square().mean().sqrt()))
        sources = torch.stack(draws).mean(dim=0)
        agreement = float(torch.stack(draws).std(dim=0).mean()) if len(draws) > 1 else None
        target, reference = transcript.views[0].clone(), transcript.views[0].clone()
        target[chosen], reference[chosen] = sources[:, 0], sources[:, 1]
        diagnostics = {"residual": float(np.mean(residuals))} | ({} if agreement is None else {"restart_sd": agreement})
        return Reconstruction(
            transcript.request,
            stitch(target, transcript.positions, transcript.shape),
            stitch(reference, transcript.positions, transcript.shape),
            positions=transcript.positions[chosen] if len(chosen) < len(transcript.positions) else None,
            exchangeable=self.options.alpha != "known",
            diagnostics=diagnostics,
        )

    def _choose(self, transcript: Transcript, knowledge: Knowledge) -> NDArray[np.int64]:
        """Indices of the patches to attack: those where the atlas has most tissue."""
        count = len(transcript.positions)
        if self.options.patches is None or self.options.patches >= count:
            return np.arange(count)
        size = (*transcript.views.shape[-3:],)
        tissue = (cut(knowledge.atlas.mean, transcript.positions, size) > 0.1).flatten(1).double().mean(dim=1)
        return np.sort(np.argsort(-tissue.numpy(), kind="stable")[: self.options.patches])

    def _weights(
        self, transcript: Transcript, knowledge: Knowledge, scheme: Mapping[str, object], chosen: NDArray[np.int64],
        generator: torch.Generator,
    ) -> tuple[Tensor, Weigh]:  # fmt: skip
        """Weights [N, 2] of target and reference to start with, and how they improve."""
        pooled = scheme.get("alpha_per", "patch") != "patch"
        mixture = transcript.views[0][chosen]
        improve: Weigh = lambda weights, clean: weights  # noqa: E731
        if self.options.alpha == "known":
            alpha = torch.from_numpy(knowledge.weights(transcript.request)).float()[0][chosen]
        elif self.options.alpha == "unknown":
            alpha = torch.rand(1 if pooled else len(chosen), generator=generator).expand(len(chosen))
        else:
            aligned = scheme.get("reference_position", "aligned") == "aligned"
            atlas = make_prior(knowledge.atlas, transcript, aligned)
            alpha = estimate_alpha(transcript.views[:1], atlas, ALPHA_GRID, pooled)[chosen]
            improve = least_squares(mixture, pooled)
        alpha = alpha.clamp(0.01, 0.99)
        return torch.stack([alpha, 1 - alpha], dim=1), improve

    def _sigmas(self, prior: Prior) -> list[float]:
        o, size = self.options, prior.config.patch_size
        if o.sampler == "pigdm":
            return edm(o.sigma_max or prior.config.levels[0].sigma, o.sigma_min, o.levels or 25)
        if o.sampler == "langevin-ncsnv2" and o.levels is None:
            return ncsnv2(o.sigma_max or 1.0, o.sigma_min, size**3)
        return geometric(o.sigma_max or 1.0, o.sigma_min, o.levels or 10)

    def _steps(self) -> int:
        return self.options.steps or (5 if self.options.sampler == "langevin-ncsnv2" else 100)

    def _evaluations(self, prior: Prior) -> int:
        """How often the score of both sources is asked for, per patch and restart."""
        levels = len(self._sigmas(prior))
        if self.options.sampler == "pigdm":
            return 2 * levels - 1
        return levels * self._steps() + (self.options.sampler != "langevin")

    def _sample(
        self, score: Callable[[Tensor, float], Tensor], mixture: Tensor, weights: Tensor, generator: torch.Generator,
        prior: Prior, weigh: Weigh, tick: Callable[[], None],
    ) -> Tensor:  # fmt: skip
        o, sigmas, steps = self.options, self._sigmas(prior), self._steps()
        if o.sampler == "pigdm":
            return pigdm(score, mixture, weights, sigmas, generator, spread=prior.spread, weigh=weigh, tick=tick)
        if o.sampler == "dirac":
            return dirac(score, mixture, weights, sigmas, generator, steps=steps, delta=o.delta, weigh=weigh, tick=tick)
        return langevin(
            score, mixture, weights, sigmas, generator, steps=steps, delta=o.delta, likelihood=o.likelihood,
            denoise=o.sampler == "langevin-ncsnv2", weigh=weigh, tick=tick,
        )  # fmt: skip
