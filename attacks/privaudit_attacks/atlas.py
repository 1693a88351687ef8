"""The trivial attacker who always answers with the mean brain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from privaudit.contracts.attack import Protocol, Task
from privaudit.contracts.blind import Blind
from privaudit.contracts.claims import Reconstruction
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.transcript import Transcript


class AtlasAttack(Blind):
    """Claims the mean of the attacker's population sample without looking at the transcript."""

    name = "atlas"
    summary = "trivial: the population's mean brain, whatever was sent"
    claim = "reconstruction"
    holds = Rung.ATLAS

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Reconstruction]:
        """Yield the atlas for each request."""
        mean = knowledge.atlas.mean
        for transcript in transcripts:
            yield Reconstruction(transcript.request, mean)
