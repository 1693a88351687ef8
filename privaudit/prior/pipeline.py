"""The prior as a diffusers pipeline: its own samples show whether it has learned what patches look like."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.pipelines.pipeline_utils import DiffusionPipeline
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from diffusers.utils.outputs import BaseOutput
from torch import Tensor

from privaudit.prior.network import ScoreNet


class AnnealedLangevinScheduler(SchedulerMixin, ConfigMixin):  # type: ignore[misc]
    """Noise-annealed Langevin dynamics (Song & Ermon, 2019): ``x ← x + η s(x, σ) + √(2η) ε``, ``η = δ σ²/σ_L²``.

    Args:
        sigmas: noise levels, largest first.
        steps: T, steps per level.
        delta: step size at the last level.
    """

    order = 1

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(self, sigmas: list[float], steps: int = 10, delta: float = 3e-5) -> None:
        self.sigmas, self.steps, self.delta = sigmas, steps, delta

    def step(self, score: Tensor, sigma: float, sample: Tensor, generator: torch.Generator) -> Tensor:
        """One Langevin step of ``sample`` at the level σ."""
        rate = self.delta * (sigma / self.sigmas[-1]) ** 2
        noise = torch.randn(sample.shape, generator=generator).to(sample)
        moved: Tensor = sample + rate * score + (2 * rate) ** 0.5 * noise
        return moved


@dataclass
class PatchOutput(BaseOutput):
    """Patches [B, 1, *patch]."""

    patches: Tensor


class PatchPipeline(DiffusionPipeline):
    """Unconditional samples of patches."""

    def __init__(self, score: ScoreNet, scheduler: AnnealedLangevinScheduler) -> None:
        super().__init__()
        self.register_modules(score=score, scheduler=scheduler)  # type: ignore[no-untyped-call]

    @torch.inference_mode()
    def __call__(
        self,
        shape: tuple[int, int, int],
        generator: torch.Generator,
        batch_size: int = 1,
        context: Tensor | None = None,
    ) -> PatchOutput:
        """Sample patches; the last step denoises (NCSNv2).

        Args:
            shape: of a patch.
            generator: of all noise, on the CPU.
            batch_size: how many.
            context: what the network is told of each patch [B, C, *patch].
        """
        scheduler, score = self.scheduler, self.score
        first = scheduler.sigmas[0]
        sample = first * torch.randn((batch_size, 1, *shape), generator=generator).to(self.device)
        for sigma in scheduler.sigmas:
            level = torch.full((batch_size,), sigma, device=self.device)
            for _ in range(scheduler.steps):
                sample = scheduler.step(score(sample, level, context), sigma, sample, generator)
        last = scheduler.sigmas[-1]
        level = torch.full((batch_size,), last, device=self.device)
        return PatchOutput(patches=sample + last**2 * score(sample, level, context))
