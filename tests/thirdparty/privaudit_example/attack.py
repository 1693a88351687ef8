"""A reconstruction attack: the first view, smoothed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import torch
from pydantic import Field

from privaudit.contracts.attack import Attack, Protocol, Task
from privaudit.contracts.claims import Reconstruction
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.options import PluginOptions
from privaudit.contracts.transcript import Transcript


class SmoothOptions(PluginOptions):
    """How smooth."""

    width: Annotated[int, Field(ge=1)] = Field(default=3, description="side of the averaging box in voxels, odd")


class SmoothAttack(Attack):
    """Averages each voxel with its neighbours."""

    name = "smooth"
    summary = "example: the first view, smoothed"
    claim = "reconstruction"
    Options = SmoothOptions
    options: SmoothOptions

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        return (Protocol("default", frozenset({Rung.TRANSCRIPT})),)

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Reconstruction]:
        width = self.options.width
        for transcript in transcripts:
            image = transcript.stitched()[None, None]
            smooth = torch.nn.functional.avg_pool3d(image, width, stride=1, padding=width // 2)
            yield Reconstruction(transcript.request, smooth[0, 0])
