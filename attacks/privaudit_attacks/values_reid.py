"""Re-identification by all values that are sent, whatever their shape: for encodings off the image's grid."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence

import numpy as np
import torch

from privaudit.contracts.attack import Attack, Check, Protocol, Task
from privaudit.contracts.claims import Similarity
from privaudit.contracts.cohort import Volume
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.retrieval import HELD, RetrievalOptions
from privaudit.contracts.transcript import Transcript
from privaudit.learning.own_people import Others, send_own
from privaudit.learning.values import LEAST, Reader, own_values, telling, values_of
from privaudit.msssim import DenseSimilarity


class ValuesReidAttack(Attack):
    """Encodings are compared value by value, in standard deviations of own people's; raw scans are encoded first.

    Sizes, energies and singular values along each axis are compared too; own people, encoded twice, say how much each
    tells. The attacker encodes a raw gallery itself, with keys of its own: a scheme without a secret, or with one for
    everybody, gives the same again.
    """

    name = "values-reid"
    summary = "re-identification by all values that are sent; a raw gallery is encoded by the attacker first"
    claim = "similarity"
    cheap = True
    Options = RetrievalOptions
    options: RetrievalOptions

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """The ones asked for, of all views that are sent."""
        rungs = frozenset({Rung.TRANSCRIPT, Rung.POPULATION} | ({Rung.VIEWS} if views_sent > 1 else set()))
        return tuple(
            Protocol(name, rungs | HELD[name], views=views_sent, fresh=Rung.GALLERY in HELD[name])
            for name in self.options.protocols
        )

    def health(self, protocol: Protocol, knowledge: Knowledge, task: Task) -> Iterator[Check]:
        """Whether there are people whose values say what is usual."""
        people = len(knowledge.population)
        yield Check("people to learn from", float(people), f"at least {LEAST}", people >= LEAST)
        task.advance(1)

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Similarity]:
        """Yield one similarity of all transcripts to each other, or to the gallery."""
        assert task.defense is not None
        people, raw = knowledge.population, Rung.GALLERY in protocol.knowledge
        if len(people) < LEAST:
            nothing = np.zeros((len(transcripts), len(knowledge.gallery) if raw else len(transcripts)))
            yield Similarity(DenseSimilarity(nothing, symmetric=not raw))
            return
        with task.ahead(0.5 * len(transcripts)) as advance:
            own = own_values(task.defense, people, protocol.views, 2, task.common_seed, advance)
        reader = Reader(own[::2])
        weights = telling(reader, own[::2], own[1::2])
        sent = reader.read(torch.stack([values_of(transcript) for transcript in transcripts]), unit=True)
        if not raw:
            likeness = reader.likeness(sent, sent, weights)
            yield Similarity(DenseSimilarity((likeness + likeness.T) / 2, symmetric=True))
            return
        keys, others, rows = random.Random(f"gallery {task.common_seed}"), Others(people, len(people)), []
        for entry in knowledge.gallery:
            image = entry.load().numpy()
            volume = Volume(image, np.zeros(image.shape, np.uint8), transcripts[0].affine)
            rows.append(values_of(send_own(task.defense, volume, others, keys, protocol.views, None)))
        yield Similarity(DenseSimilarity(reader.likeness(sent, reader.read(torch.stack(rows), unit=True), weights)))
