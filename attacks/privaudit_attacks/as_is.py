"""The trivial attacker who takes the encoding for the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from privaudit.contracts.attack import Attack, Protocol, Task
from privaudit.contracts.claims import Reconstruction
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.transcript import Transcript


class AsIsAttack(Attack):
    """Claims the first view, stitched, as it is: an attack must beat it to have added anything."""

    name = "as-is"
    summary = "trivial: the first encoded view, untouched, is claimed to be the image"
    claim = "reconstruction"
    trivial = True

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """One, with the transcript alone."""
        return (Protocol("default", frozenset({Rung.TRANSCRIPT})),)

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Reconstruction]:
        """Yield each encoding."""
        for transcript in transcripts:
            yield Reconstruction(transcript.request, transcript.stitched())
