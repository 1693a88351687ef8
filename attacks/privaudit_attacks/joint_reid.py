"""Re-identification on the pictures that joint unmixing returns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated

import torch
from pydantic import Field

from privaudit.contracts.attack import Attack, Protocol, Task
from privaudit.contracts.claims import Similarity
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.retrieval import HELD, RetrievalOptions
from privaudit.contracts.transcript import Transcript
from privaudit.learning.beyond import beyond
from privaudit.learning.joint_requests import JointRequests
from privaudit.msssim import DenseSimilarity


class JointReidOptions(RetrievalOptions):
    """Which retrieval."""

    voxels: Annotated[int, Field(ge=256)] = Field(
        default=4096, description="voxels of each mixture that the mixing is found on"
    )


class JointReidAttack(Attack):
    """All requests are unmixed together; pictures are compared by what they have beyond the atlas."""

    name = "joint-reid"
    summary = "re-identification on the pictures of all requests unmixed together"
    claim = "similarity"
    on_grid = True
    Options = JointReidOptions
    options: JointReidOptions

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """The ones asked for, of all views that are sent."""
        rungs = frozenset({Rung.TRANSCRIPT, Rung.ATLAS, Rung.POPULATION if views_sent == 1 else Rung.VIEWS})
        return tuple(Protocol(name, rungs | HELD[name], views=views_sent) for name in self.options.protocols)

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Similarity]:
        """Yield one similarity of all transcripts to each other, or to the gallery."""
        atlas = knowledge.atlas
        people = knowledge.population if Rung.POPULATION in protocol.knowledge else ()
        requests = JointRequests(transcripts, atlas, task.scheme.mixing, self.options.voxels, task.seed, people)
        with task.ahead(0.4 * len(transcripts)) as advance:
            mixed = requests.solve(advance)
        with task.ahead(0.6 * len(transcripts)) as advance:
            seen = torch.stack([beyond(target, atlas) for target, _ in requests.pictures(mixed, advance)])
        if Rung.GALLERY not in protocol.knowledge:
            likeness = (seen @ seen.T).double().numpy()
            yield Similarity(DenseSimilarity((likeness + likeness.T) / 2, symmetric=True))  # rounding differs
            return
        named = torch.stack([beyond(entry.load(), atlas) for entry in knowledge.gallery])
        yield Similarity(DenseSimilarity((seen @ named.T).double().numpy()))
