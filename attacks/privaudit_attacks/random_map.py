"""The trivial attacker who answers with somebody else's label map."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from privaudit.contracts.attack import Attack, Protocol, Task
from privaudit.contracts.claims import LabelMap
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.transcript import Transcript


class RandomMapAttack(Attack):
    """Claims the label map of a random person of the attacker's population sample, whatever was sent."""

    name = "random-map"
    summary = "trivial: a random other person's label map, whatever was sent"
    claim = "label-map"
    trivial = True
    reads_transcript = False

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """One, with the population sample alone."""
        return (Protocol("default", frozenset({Rung.POPULATION})),)

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[LabelMap]:
        """Yield one random person's map for each request."""
        people = knowledge.population
        for transcript in transcripts:
            other = people[int(task.rng(transcript.request).integers(len(people)))]
            yield LabelMap(transcript.request, other.labels)
