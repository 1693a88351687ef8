"""Blind source separation with a score prior: the paper's own attack, and tuned ones.

Given a mixture ``m = α x₁ + (1 − α) x₂``, sample target and reference from their posterior under a prior of patches
that was trained on the attacker's population sample (``privaudit train --prior``). ``langevin`` with its defaults is
the published sampler (Jayaram & Thickstun, 2020); the others are what somebody would do who wants it to work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Annotated, Any, Final, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from privaudit.contracts.attack import Attack, Check, Facts, Illustration, Learned, Protocol, Task
from privaudit.contracts.claims import Reconstruction
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.options import PluginOptions
from privaudit.contracts.scheme import Mixing
from privaudit.contracts.transcript import Transcript
from privaudit.imaging.patches import most_tissue, stitch
from privaudit.imaging.unmixing import estimate_alpha, make_prior
from privaudit.prior.health import check_prior, check_sampler, illustrate_prior
from privaudit.prior.samplers import Schedule, Weigh, keep, least_squares
from privaudit.prior.separation import WHOLE, Sampler, Separation, even_shares, kept, spread_out
from privaudit.prior.weights import Prior, prior_for

RESIDUAL = 0.03
"""Root mean square by which separated sources may miss the mixture."""
ALPHA_GRID = 50
"""Mixing weights that are tried."""
MANY: Final = 200
"""Evaluations from which a sampler counts as slow."""


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
    restarts: Annotated[int, Field(ge=1)] = Field(default=1, description="independent samples, M")
    claim: Literal["mean", "best"] = Field(
        default="mean", description="the mean of the restarts, or the best, chosen with the truth: an upper bound"
    )
    patches: Annotated[int, Field(ge=1)] | None = Field(
        default=2,
        description="patches attacked per scan, those with most tissue in the atlas; null for all, which takes hours on"
        " a CPU. Where whole volumes are sent, all are attacked",
    )
    levels: Annotated[int, Field(ge=2)] | None = Field(
        default=None, description="noise levels; null for 10 (langevin, dirac), NCSNv2's count, or 25 (pigdm)"
    )
    steps: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Langevin steps per level; null for 100 (langevin, dirac) or 5 (langevin-ncsnv2)"
    )
    evaluations: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default=(), description="also run with about so many network evaluations per patch and source, for a curve"
    )
    delta: Annotated[float, Field(gt=0)] = Field(default=3e-5, description="Langevin step size at the last level")
    likelihood: Annotated[float, Field(gt=0)] = Field(default=1.0, description="weight of the mixture, λ")
    sigma_max: Annotated[float, Field(gt=0)] | None = Field(
        default=None, description="first noise level; null for 1 (Langevin), or the prior's largest (pigdm)"
    )
    sigma_min: Annotated[float, Field(gt=0)] = Field(default=0.01, description="last noise level")
    batch: Annotated[int, Field(ge=1)] = Field(default=16, description="patches per evaluation of the network")


class BssAttack(Attack):
    """Posterior samples of target and reference under a score prior."""

    name = "bss"
    summary = "blind source separation: target and reference sampled under a score prior of raw patches"
    claim = "reconstruction"
    on_grid = True
    Options = BssOptions
    options: BssOptions
    beside = ("wiener",)

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """One with one view, as the paper's; and one for each further number of evaluations."""
        known = {Rung.WEIGHTS} if self.options.alpha == "known" else set()
        rungs = {Rung.TRANSCRIPT, Rung.POPULATION, Rung.ATLAS} | known
        name = f"{self.options.sampler} alpha-{self.options.alpha}"
        if not self.options.evaluations:
            return (Protocol(name, frozenset(rungs)),)
        return tuple(
            Protocol(
                name if wanted is None else f"{name} n={wanted}", frozenset(rungs), primary=wanted is None,
                curve="network evaluations per patch and source",
                curve_x=float(self._separation.schedule(wanted).evaluations),
            )
            for wanted in (None, *dict.fromkeys(self.options.evaluations))
        )  # fmt: skip

    def learned(self, facts: Facts) -> Sequence[Learned]:
        """The prior.

        Raises:
            OptionError: there is none that fits.
        """
        prior = self._prior(facts)
        return (Learned(prior.name, prior.digest, tuple(prior.config.people)),)

    def judge(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[Check]:
        """Sources that do not add up to the mixture are no separation."""
        residual = float(np.mean([row["residual"] for row in rows])) if rows else 0.0
        good = residual <= RESIDUAL
        return [Check("residual of the mixture, root mean square", residual, f"at most {RESIDUAL:g}", good)]

    def health(self, protocol: Protocol, knowledge: Knowledge, task: Task) -> Iterator[Check]:
        """Does the prior know patches, and does the sampler find what can be found?"""
        prior = self._prior(task.facts)
        yield from check_prior(prior, knowledge, task, lambda share: task.advance(0.2 * share))
        schedule = self._separation.schedule(None, prior.config.patch_size)
        sample = partial(self._separation.sample, prior=prior, schedule=schedule)
        yield from check_sampler(
            prior, knowledge, task, sample, schedule.evaluations, lambda share: task.advance(0.8 * share)
        )

    def preview(self) -> Self:
        """Two patches, or one where the sampler is slow; one restart."""
        few = 2 if self._separation.schedule(None).evaluations < MANY else 1
        patches = min(few, self.options.patches or few)
        return type(self)(self.options.model_copy(update={"patches": patches, "restarts": 1, "evaluations": ()}))

    def illustrate(self, knowledge: Knowledge, task: Task) -> Iterator[Illustration]:
        """Samples of the prior beside patches of the attacker's people."""
        yield illustrate_prior(self._prior(task.facts), knowledge, task)

    @property
    def _separation(self) -> Separation:
        o = self.options
        return Separation(o.sampler, o.levels, o.steps, o.delta, o.likelihood, o.sigma_max, o.sigma_min)

    def _prior(self, facts: Facts) -> Prior:
        return prior_for(self.options.prior, facts.dataset, facts.kind, facts.voxel_mm, facts.patch_size or WHOLE)

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Reconstruction]:
        """Yield one picture of target and reference per request."""
        prior = self._prior(task.facts)
        torch.nn.Module.to(prior.network, device=task.device)
        wanted = None if "n=" not in protocol.name else int(protocol.name.rpartition("n=")[2])
        schedule = self._separation.schedule(wanted, prior.config.patch_size)
        for transcript in transcripts:
            with task.ahead(0.999) as advance:
                yield self._separate(transcript, knowledge, task, prior, schedule, advance)
            for file in task.workdir.glob(f"{transcript.request}-*.safetensors"):
                file.unlink()

    def _separate(
        self, transcript: Transcript, knowledge: Knowledge, task: Task, prior: Prior, schedule: Schedule,
        advance: Callable[[float], None],
    ) -> Reconstruction:  # fmt: skip
        transcript = transcript.recut(prior.config.patch_size)
        chosen = most_tissue(
            knowledge.atlas.mean, transcript.positions, prior.config.patch_size, self._count(transcript, task.facts)
        )
        parts = [chosen[start : start + self.options.batch] for start in range(0, len(chosen), self.options.batch)]
        draws, residuals = [], []
        for restart in range(self.options.restarts):
            found = []
            for number, part in enumerate(parts):
                piece = self._piece(transcript, knowledge, task, prior, schedule, part, restart, number, advance)
                found.append(piece["sources"])
                residuals += [float(piece["residual"])] * len(part)
                advance(len(part) / len(chosen) / self.options.restarts)
            draws.append(torch.cat(found))
        spread = {"restart_sd": float(torch.stack(draws).std(dim=0).mean())} if len(draws) > 1 else {}
        claimed = draws if self.options.claim == "best" else [torch.stack(draws).mean(dim=0)]
        shares = even_shares(task.scheme.mixing.references)

        def picture(sources: Tensor) -> tuple[Tensor, Tensor]:
            target, reference = transcript.views[0].clone(), transcript.views[0].clone()
            target[chosen] = sources[:, 0]
            reference[chosen] = torch.einsum("nsxyz,s->nxyz", sources[:, 1:], shares)
            corners, shape = transcript.positions, transcript.shape
            return stitch(target, corners, shape), stitch(reference, corners, shape)

        first, *others = [picture(sources) for sources in claimed]
        return Reconstruction(
            transcript.request,
            *first,
            positions=transcript.positions[chosen] if len(chosen) < len(transcript.positions) else None,
            alternatives=tuple(others),
            exchangeable=self.options.alpha != "known",
            diagnostics={"residual": float(np.mean(residuals)), **spread},
        )

    def _piece(
        self, transcript: Transcript, knowledge: Knowledge, task: Task, prior: Prior, schedule: Schedule,
        part: NDArray[np.int64], restart: int, number: int, advance: Callable[[float], None],
    ) -> dict[str, Tensor]:  # fmt: skip
        """Sources [N, S, *patch] of some patches and their mean residual; a file of them survives a kill."""

        def make() -> dict[str, Tensor]:
            context = prior.context(torch.from_numpy(transcript.positions[part]), knowledge.atlas.mean)
            generator = task.generator(f"{transcript.request}:{restart}:{number}")
            weights, weigh = self._weights(transcript, knowledge, task.scheme.mixing, part, generator)
            share = len(part) / self._count(transcript, task.facts) / self.options.restarts
            return self._separation.run(
                prior, transcript.views[0][part], context, weights, weigh, generator, schedule, self.options.batch,
                lambda done: advance(share * done),
            )  # fmt: skip

        return kept(task.workdir / f"{transcript.request}-{restart}-{number}.safetensors", make)

    def _count(self, transcript: Transcript, facts: Facts) -> int:
        """How many of its patches are attacked."""
        count, wanted = len(transcript.positions), self.options.patches
        return count if wanted is None or facts.patch_size is None else min(wanted, count)

    def _weights(
        self, transcript: Transcript, knowledge: Knowledge, mixing: Mixing, part: NDArray[np.int64],
        generator: torch.Generator,
    ) -> tuple[Tensor, Weigh]:  # fmt: skip
        """Weights [N, 1 + k] of target and references to start with, and how they improve."""
        shares = even_shares(mixing.references)
        if self.options.alpha == "known":
            known = torch.from_numpy(knowledge.weights(transcript.request)).float()[0]
            # A volume sent whole has one weight, however it is cut to be attacked.
            alpha = known.expand(len(part)) if len(known) == 1 else known[part]
        elif self.options.alpha == "unknown":
            alpha = torch.rand(1 if mixing.pooled else len(part), generator=generator).expand(len(part))
        else:
            x, y, z = transcript.views.shape[-3:]
            atlas = make_prior(knowledge.atlas, transcript.positions, (x, y, z), transcript.shape, mixing.aligned)
            alpha = estimate_alpha(transcript.views[:1], atlas, ALPHA_GRID, mixing.pooled)[part]
            return spread_out(alpha, shares), least_squares(transcript.views[0][part], mixing.pooled, shares)
        return spread_out(alpha, shares), keep
