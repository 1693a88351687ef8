"""The trivial attacker who answers with somebody else's brain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from privaudit.contracts.attack import Protocol, Task
from privaudit.contracts.blind import Blind, somebody
from privaudit.contracts.claims import Reconstruction
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.transcript import Transcript
from privaudit.imaging.patches import as_tensor


class RandomSubjectAttack(Blind):
    """Claims a random person of the attacker's population sample without looking at the transcript."""

    name = "random-subject"
    summary = "trivial: a random other person's scan, whatever was sent"
    claim = "reconstruction"
    holds = Rung.POPULATION

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Reconstruction]:
        """Yield one random person for each request."""
        people = knowledge.population
        for transcript in transcripts:
            yield Reconstruction(transcript.request, as_tensor(somebody(people, task, transcript.request).image))
