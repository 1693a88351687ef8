"""Re-identification after inversion: MS-SSIM retrieval on the pictures that a learned de-encoder returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

from pydantic import Field
from torch import Tensor

from privaudit.contracts.attack import Attack, Protocol, Task
from privaudit.contracts.claims import Similarity
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.retrieval import RetrievalOptions, retrievals
from privaudit.contracts.transcript import Transcript
from privaudit.learning.inversion import shared_inverter
from privaudit.msssim.search import search


class InvertedReidOptions(RetrievalOptions):
    """Which retrieval, and how much is learned from."""

    profile: str = Field(default="auto", description="MS-SSIM profile by name; auto takes the finest that fits")
    encodings: Annotated[int, Field(ge=1)] = Field(
        default=3, description="encodings of each of the attacker's people, each with a fresh key"
    )


class InvertedReidAttack(Attack):
    """``reid`` on the pictures that ``invert`` returns from one view."""

    name = "inverted-reid"
    summary = "re-identification: MS-SSIM retrieval on what a learned de-encoder returns"
    claim = "similarity"
    Options = InvertedReidOptions
    options: InvertedReidOptions

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """The ones asked for."""
        return retrievals(self.options.protocols, (Rung.TRANSCRIPT, Rung.ATLAS, Rung.POPULATION))

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Similarity]:
        """Learn, then yield one similarity of all transcripts to each other, or to the gallery."""
        assert task.defense is not None
        with task.ahead(0.5 * len(transcripts)) as advance:
            inverter = shared_inverter(
                task.defense, knowledge.population, knowledge.atlas, 1, self.options.encodings,
                task.common_seed, advance,
            )  # fmt: skip

        def reader(index: int) -> Callable[[], Tensor]:
            return lambda: inverter.invert(transcripts[index].stitched())

        queries = [reader(index) for index in range(len(transcripts))]
        gallery = [entry.load for entry in knowledge.gallery] if Rung.GALLERY in protocol.knowledge else None
        shape = transcripts[0].shape
        yield Similarity(search(queries, gallery, shape, self.options.profile, task.msssim, task.advance))
