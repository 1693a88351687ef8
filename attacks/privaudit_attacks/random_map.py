"""The trivial attacker who answers with somebody else's label map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from privaudit.contracts.attack import Protocol, Task
from privaudit.contracts.blind import Blind, somebody
from privaudit.contracts.claims import LabelMap
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.transcript import Transcript


class RandomMapAttack(Blind):
    """Claims the label map of a random person of the attacker's population sample, whatever was sent."""

    name = "random-map"
    summary = "trivial: a random other person's label map, whatever was sent"
    claim = "label-map"
    holds = Rung.POPULATION

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[LabelMap]:
        """Yield one random person's map for each request."""
        people = knowledge.population
        for transcript in transcripts:
            yield LabelMap(transcript.request, somebody(people, task, transcript.request).labels)
