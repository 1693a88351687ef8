"""The trivial attacker who gives every voxel the label that most people have there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from privaudit.contracts.attack import Protocol, Task
from privaudit.contracts.blind import Blind
from privaudit.contracts.claims import LabelMap
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.transcript import Transcript
from privaudit.imaging.label_prior import LabelPrior
from privaudit.imaging.patches import most_likely


class FrequentLabelsAttack(Blind):
    """Claims each voxel's most frequent label in the attacker's population sample, whatever was sent."""

    name = "frequent-labels"
    summary = "trivial: the population's most frequent label of each voxel, whatever was sent"
    claim = "label-map"
    holds = Rung.POPULATION

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[LabelMap]:
        """Yield the same map for each request."""
        labels = most_likely(LabelPrior.of(volume.labels for volume in knowledge.population).frequencies)
        for transcript in transcripts:
            yield LabelMap(transcript.request, labels)
