"""Whose scan was mixed in? References are looked up among raw scans of people who may be in the pool.

The attacker holds one scan of each of some named people: those of the pool, and as many others as there are. It makes
an atlas of all of them, so that nothing tells the pool's people from the others before it looks at what was sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from privaudit.contracts.attack import Attack, Protocol, Task
from privaudit.contracts.claims import Similarity
from privaudit.contracts.cohort import Volume
from privaudit.contracts.knowledge import GalleryEntry, Knowledge, Rung
from privaudit.contracts.options import PluginOptions
from privaudit.contracts.transcript import Transcript
from privaudit.imaging.atlas import Atlas
from privaudit.learning.beyond import beyond
from privaudit.learning.joint_requests import JointRequests
from privaudit.learning.own_people import OneByOne
from privaudit.msssim import DenseSimilarity


class ReferenceReidOptions(PluginOptions):
    """What is looked up."""

    protocols: list[Literal["joint", "looking"]] = Field(
        default=["joint", "looking"],
        min_length=1,
        description="joint: the references of all requests unmixed together; looking: the first view as it was sent",
    )
    voxels: Annotated[int, Field(ge=256)] = Field(
        default=4096, description="voxels of each mixture that the mixing is found on"
    )


class ReferenceReidAttack(Attack):
    """References, unmixed from all requests together, are looked up among raw scans of named people."""

    name = "reference-reid"
    summary = "whose scan was mixed in: references looked up among raw scans of people who may be in the pool"
    claim = "similarity"
    about = ("reference",)
    on_grid = True
    Options = ReferenceReidOptions
    options: ReferenceReidOptions

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """The ones asked for: of all views that are sent, or of the first one."""
        held = frozenset({Rung.TRANSCRIPT, Rung.CANDIDATES})
        several = frozenset({Rung.VIEWS}) if views_sent > 1 else frozenset()
        ways = {"joint": (held | several, views_sent), "looking": (held, 1)}
        return tuple(Protocol(name, *ways[name]) for name in dict.fromkeys(self.options.protocols))

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Similarity]:
        """Yield one similarity of the first view's reference of each request to each candidate."""
        people = knowledge.candidates
        atlas = Atlas.of(entry.load() for entry in people)
        with task.ahead(float(len(transcripts))) as advance:
            pictures = self._joint if protocol.name == "joint" else _looking
            seen = torch.stack([beyond(image, atlas) for image in pictures(transcripts, people, atlas, task, advance)])
        named = torch.stack([beyond(entry.load(), atlas) for entry in people])
        yield Similarity(DenseSimilarity((seen @ named.T).double().numpy()))

    def _joint(
        self, transcripts: Sequence[Transcript], people: Sequence[GalleryEntry], atlas: Atlas, task: Task,
        advance: Callable[[float], None],
    ) -> Iterator[Tensor]:  # fmt: skip
        """The references of all first views, out of all requests together."""
        raw, voxels = _Raw(people, transcripts[0].affine), self.options.voxels
        requests = JointRequests(transcripts, atlas, task.scheme.mixing, voxels, task.seed, raw)
        mixed = requests.solve(lambda share: advance(0.4 * share))
        for _, reference in requests.pictures(mixed, lambda share: advance(0.6 * share)):
            yield reference


def _looking(
    transcripts: Sequence[Transcript], people: Sequence[GalleryEntry], atlas: Atlas, task: Task,
    advance: Callable[[float], None],
) -> Iterator[Tensor]:  # fmt: skip
    """The first views as they were sent."""
    for transcript in transcripts:
        yield transcript.stitched()
        advance(1 / len(transcripts))


class _Raw(OneByOne):
    """Candidates as people to learn from; what they are labelled with is not known."""

    def __init__(self, people: Sequence[GalleryEntry], affine: NDArray[np.float64]) -> None:
        self._people, self._affine = people, affine

    def __len__(self) -> int:
        return len(self._people)

    def one(self, index: int) -> Volume:
        """A scan without labels."""
        image = self._people[index].load().numpy()
        return Volume(image, np.zeros(image.shape, np.uint8), self._affine)
