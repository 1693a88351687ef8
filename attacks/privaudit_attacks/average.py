"""Averaging the views that test-time augmentation sends, corrected by an atlas.

Test-time augmentation sends K mixtures of one target (equation 5 of Mixup-Privacy), ``m_k = α·x + (1 − α)·r_k``. Their
mean tends to ``α·x + (1 − α)·E[r]``, and E[r] is an atlas. With a Gaussian prior per voxel, mean ``a`` and variance
``v`` for the target, ``b`` and ``w`` for references, the posterior mean of x given all views is closed-form; the mixing
weight, where unknown, is estimated per patch by maximum likelihood from how much the views differ from each other.
With one view this is the Wiener estimate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field

from privaudit.contracts.attack import Attack, Protocol, Task
from privaudit.contracts.claims import Reconstruction
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.options import PluginOptions
from privaudit.contracts.transcript import Transcript
from privaudit.imaging.unmixing import separate


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
        atlas, mixing = knowledge.atlas, task.scheme.mixing
        for transcript in transcripts:
            known = None
            if self.options.alpha == "known":
                known = torch.from_numpy(knowledge.weights(transcript.request)).float()
            pictures = separate(
                transcript.views, transcript.positions, transcript.shape, atlas, mixing,
                candidates=self.options.grid, alpha=known,
            )  # fmt: skip
            yield Reconstruction(transcript.request, *pictures)
