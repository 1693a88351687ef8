"""Re-identification by normal forms of the encoding, compared in ways that were chosen on the attacker's own people."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field
from torch import Tensor

from privaudit.contracts.attack import Attack, Check, Protocol, Task
from privaudit.contracts.claims import Similarity
from privaudit.contracts.cohort import Volume
from privaudit.contracts.defense import Defense
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.retrieval import RetrievalOptions, retrievals
from privaudit.contracts.transcript import Transcript
from privaudit.imaging.atlas import Atlas
from privaudit.imaging.forms import Chain
from privaudit.imaging.patches import as_tensor
from privaudit.learning.features import features_of
from privaudit.learning.inversion import shared_inverter
from privaudit.learning.readings import Reading, readings_of
from privaudit.learning.recognition import LEAST, Recogniser, learn_recogniser
from privaudit.learning.unwrapping import Unwrapped, shared_choice
from privaudit.msssim import DenseSimilarity

CHAINS = 3
"""Normal forms among the features, at most: those that tell most of own people's images."""


class UnwrappedReidOptions(RetrievalOptions):
    """Which retrieval, and how much is tried and learned from."""

    effort: Literal["quick", "full"] = Field(
        default="quick", description="full: also forms that take longer (stretched axes, small blocks, smooth warps)"
    )
    encodings: Annotated[int, Field(ge=1)] = Field(
        default=3, description="encodings of each of the attacker's people that the de-encoder is learned on"
    )
    people: Annotated[int, Field(ge=LEAST)] | None = Field(
        default=24,
        description="of the attacker's people that are learned from, the first so many; null for all of them",
    )


class UnwrappedReidAttack(Attack):
    """Scans are compared by what tells the attacker's own people apart: normal forms, a de-encoded picture, spectra.

    Features and ways to compare them are chosen, and added up, by cross-validation on the attacker's own people.
    """

    name = "unwrapped-reid"
    summary = "re-identification by normal forms of the encoding, chosen on the attacker's own encoded people"
    claim = "similarity"
    Options = UnwrappedReidOptions
    options: UnwrappedReidOptions

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """The ones asked for, of one view, and of all views where those are not drawn alike."""
        rungs = (Rung.TRANSCRIPT, Rung.ATLAS, Rung.POPULATION)
        return retrievals(self.options.protocols, rungs, fresh=True, views=views_sent)

    def health(self, protocol: Protocol, knowledge: Knowledge, task: Task) -> Iterator[Check]:
        """Whether there are people to learn from."""
        people = len(knowledge.population)
        yield Check("people to learn from", float(people), f"at least {LEAST}", people >= LEAST)
        task.advance(1)

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Similarity]:
        """Learn, then yield one similarity of all transcripts to each other, or to the gallery."""
        gallery = [entry.load for entry in knowledge.gallery] if Rung.GALLERY in protocol.knowledge else None
        if len(knowledge.population) < LEAST:  # nothing is known of how people differ, and nobody is like anybody
            nothing = np.zeros((len(transcripts), len(transcripts if gallery is None else gallery)))
            yield Similarity(DenseSimilarity(nothing, symmetric=gallery is None))
            return
        with task.ahead(0.5 * len(transcripts)) as advance:
            reading, recogniser = self._learn(protocol, knowledge, task, gallery is not None, advance)

        def reader(index: int) -> Callable[[], Tensor]:
            return lambda: reading.of(transcripts[index])

        queries = [reader(index) for index in range(len(transcripts))]
        with task.ahead(0.5 * len(transcripts)) as advance:
            count = len(queries) + len(gallery or ())
            likeness = recogniser.likeness(queries, gallery, lambda scans: advance(scans / count))
        yield Similarity(DenseSimilarity(likeness, symmetric=gallery is None))

    def _learn(
        self, protocol: Protocol, knowledge: Knowledge, task: Task, gallery: bool, advance: Callable[[float], None]
    ) -> tuple[Reading, Recogniser]:
        """The reading of the views in which most of own people are recognised, and how."""
        assert task.defense is not None
        people, atlas, views = knowledge.population, knowledge.atlas, protocol.views
        if self.options.people is not None and len(people) > self.options.people:
            people = people[: self.options.people]
            atlas = Atlas.of(as_tensor(person.image) for person in people)  # theirs: each must be taken out of it
        readings = readings_of(task.defense, people, atlas, views, task.common_seed, lambda s: advance(0.1 * s))
        part, found = 0.9 / len(readings), []
        for reading in readings:
            scheme, asked = reading.scheme(task.defense, views)
            made = self._recogniser(scheme, asked, people, atlas, task, gallery, lambda s: advance(part * s))
            found.append((reading, made))
        return max(found, key=lambda item: item[1].reached)

    def _recogniser(
        self, scheme: Defense, views: int, people: Sequence[Volume], atlas: Atlas, task: Task, gallery: bool,
        advance: Callable[[float], None],
    ) -> Recogniser:  # fmt: skip
        seed = task.common_seed
        tried = shared_choice(
            scheme, people, atlas, views, self.options.effort, seed, lambda share: advance(0.4 * share)
        )
        best = tried[0].chain
        inverter = shared_inverter(
            Unwrapped(scheme, best, atlas), people, atlas, views, self.options.encodings, seed,
            lambda share: advance(0.3 * share),
        )  # fmt: skip
        telling = [item.chain for item in tried[:CHAINS] if item.left < 1]
        features = features_of(list(dict.fromkeys([Chain(), *telling])), best, inverter, atlas)
        return learn_recogniser(scheme, people, features, gallery, seed, lambda share: advance(0.3 * share), views)
