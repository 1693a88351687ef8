"""Separating mixtures under a score prior: which sampler, with how many noise levels, at which step size."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from privaudit.files import atomic_path
from privaudit.prior.noise import edm, geometric, ncsnv2
from privaudit.prior.samplers import Latest, Schedule, Score, Tick, Weigh, dirac, keep, langevin, misfit, pigdm
from privaudit.prior.weights import Prior, score_sources

Sampler = Literal["langevin", "langevin-ncsnv2", "dirac", "pigdm"]
WHOLE: Final = 32
"""Side of the patches that whole volumes are cut to."""


def even_shares(references: int) -> Tensor:
    """What each of k references makes of what is mixed in [k]; only the client knows, so each as much as the others."""
    return torch.full((references,), 1 / references)


def spread_out(alpha: Tensor, shares: Tensor) -> Tensor:
    """Weights [N, 1 + k] of target and references, from the target's [N] and the references' shares [k]."""
    alpha = alpha.clamp(0.01, 0.99)[:, None]
    return torch.cat([alpha, (1 - alpha) * shares], dim=1)


def kept(file: Path, make: Callable[[], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors in a file; where it is not there they are made and written, so that a kill loses nothing finished."""
    if file.is_file():
        with suppress(OSError, SafetensorError):  # a damaged one is made again
            return load_file(file)
    found = make()
    with atomic_path(file) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in found.items()}, temporary)
    return found


@dataclass(frozen=True)
class Separation:
    """How to separate; ``langevin`` with ten levels of a hundred steps is what was published.

    Attributes:
        sampler: which.
        levels: noise levels; None for 10 (langevin, dirac), NCSNv2's count, or 25 (pigdm).
        steps: Langevin steps for each level; None for 100 (langevin, dirac) or 5 (langevin-ncsnv2).
        delta: Langevin step size at the last level.
        likelihood: weight of the mixture, λ.
        sigma_max: first noise level; None for 1 (Langevin), or the prior's largest (pigdm).
        sigma_min: last noise level.
    """

    sampler: Sampler
    levels: int | None
    steps: int | None
    delta: float
    likelihood: float
    sigma_max: float | None
    sigma_min: float

    def schedule(self, wanted: int | None, size: int = WHOLE) -> Schedule:
        """As the options say, or with about so many evaluations."""
        if self.sampler == "pigdm":
            return Schedule((self.levels or 25) if wanted is None else max(2, (wanted + 1) // 2), 2, -1)
        many = self.sampler == "langevin-ncsnv2"
        published = len(ncsnv2(self.sigma_max or 1.0, self.sigma_min, size**3)) if many else 10
        levels = self.levels or published
        last = int(self.sampler != "langevin")
        if wanted is not None:
            return Schedule(min(levels, wanted), max(1, wanted // levels), last)
        return Schedule(levels, self.steps or (5 if many else 100), last)

    def run(
        self, prior: Prior, mixture: Tensor, context: Tensor | None, weights: Tensor, weigh: Weigh,
        generator: torch.Generator, schedule: Schedule, batch: int, advance: Callable[[float], None],
    ) -> dict[str, Tensor]:  # fmt: skip
        """Separate patches.

        Args:
            prior: of raw patches.
            mixture: [N, *patch].
            context: what the prior's network is told of each patch.
            weights: [N, S] to start with.
            weigh: how they improve.
            generator: of the samples.
            schedule: how many evaluations.
            batch: patches per evaluation.
            advance: called with shares of the work; they add up to 1, and are taken back at the end.

        Returns:
            'sources' [N, S, *patch], and the root mean square by which they miss the mixture, 'residual'.
        """
        used, ticked = Latest(weights, weigh), 0.0

        def tick() -> None:
            nonlocal ticked
            ticked += 1 / schedule.evaluations
            advance(1 / schedule.evaluations)

        def score(x: Tensor, sigma: float) -> Tensor:
            return score_sources(prior.network, x, sigma, context, batch)

        sources = self.sample(score, mixture, weights, generator, tick, prior=prior, schedule=schedule, weigh=used)
        advance(-ticked)
        return {"sources": sources, "residual": misfit(mixture, used.weights, sources).square().mean().sqrt()}

    def sample(
        self, score: Score, mixture: Tensor, weights: Tensor, generator: torch.Generator, tick: Tick, *, prior: Prior,
        schedule: Schedule, weigh: Weigh = keep,
    ) -> Tensor:  # fmt: skip
        """Sources [N, S, *patch] of mixtures [N, *patch] with weights [N, S]; see :mod:`privaudit.prior.samplers`."""
        sigmas, steps = self._sigmas(prior, schedule.levels), schedule.steps
        if self.sampler == "pigdm":
            return pigdm(score, mixture, weights, sigmas, generator, spread=prior.spread, weigh=weigh, tick=tick)
        if self.sampler == "dirac":
            return dirac(
                score, mixture, weights, sigmas, generator, steps=steps, delta=self.delta, weigh=weigh, tick=tick
            )
        return langevin(
            score, mixture, weights, sigmas, generator, steps=steps, delta=self.delta, likelihood=self.likelihood,
            denoise=self.sampler == "langevin-ncsnv2", weigh=weigh, tick=tick,
        )  # fmt: skip

    def _sigmas(self, prior: Prior, levels: int) -> list[float]:
        if self.sampler == "pigdm":
            return edm(self.sigma_max or prior.config.levels[0].sigma, self.sigma_min, levels)
        return geometric(self.sigma_max or 1.0, self.sigma_min, levels)
