"""Re-identification after registration: what a smooth secret deformation hides from a comparison voxel by voxel."""

from __future__ import annotations

import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from pydantic import Field
from torch import Tensor

from privaudit.contracts.attack import Attack, Check, Protocol, Task
from privaudit.contracts.claims import Similarity
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.retrieval import RetrievalOptions, retrievals
from privaudit.contracts.transcript import Transcript
from privaudit.imaging.patches import as_tensor
from privaudit.imaging.registration import Registration
from privaudit.learning.own_people import Others, encode_own
from privaudit.msssim.search import search

TRIED: Final = 6
"""The attacker's own people whom registration is tried on."""
UNDONE: Final = 1.5
"""Times that they may be further from the atlas, encoded and registered, than raw and registered."""


class RegisteredReidOptions(RetrievalOptions):
    """Which retrieval."""

    profile: str = Field(default="auto", description="MS-SSIM profile by name; auto takes the finest that fits")


class RegisteredReidAttack(Attack):
    """``reid`` once every scan, of a gallery too, was registered to the mean of the attacker's own people.

    That undoes a smooth deformation without its key. A person's coarse shape is lost with it; folds and grey values
    are not.
    """

    name = "registered-reid"
    summary = "re-identification: MS-SSIM retrieval after registration to an atlas, which undoes smooth deformations"
    claim = "similarity"
    Options = RegisteredReidOptions
    options: RegisteredReidOptions

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """The ones asked for, of the first view."""
        return retrievals(self.options.protocols, (Rung.TRANSCRIPT, Rung.ATLAS, Rung.POPULATION))

    def health(self, protocol: Protocol, knowledge: Knowledge, task: Task) -> Iterator[Check]:
        """Whether registration undoes what the scheme does to the attacker's own people, whom it encodes itself."""
        people = knowledge.population[:TRIED]
        yield Check("people to try registration on", float(len(people)), "at least 2", len(people) >= 2)
        if len(people) < 2 or task.defense is None:
            return
        registration, keys = Registration(knowledge.atlas), random.Random(task.attack_seed)
        raw, sent = [], []
        for person, volume in enumerate(people):
            image = as_tensor(volume.image)
            raw.append(registration.residual(image))
            sent.append(registration.residual(encode_own(task.defense, image, Others(people, person), keys)))
            task.advance(1 / len(people))
        share = statistics.fmean(sent) / max(1e-12, statistics.fmean(raw))
        yield Check(
            "own people's distance to the atlas, encoded and registered, as a share of raw and registered", share,
            f"at most {UNDONE:g}", share <= UNDONE,
        )  # fmt: skip

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Similarity]:
        """Yield one similarity of all transcripts to each other, or to the gallery."""
        registration = Registration(knowledge.atlas)

        def reader(index: int) -> Callable[[], Tensor]:
            return lambda: transcripts[index].stitched()

        queries = [reader(index) for index in range(len(transcripts))]
        gallery = [entry.load for entry in knowledge.gallery] if Rung.GALLERY in protocol.knowledge else []
        with task.ahead(0.9 * len(queries)) as advance:
            registration.prepare([*queries, *gallery], advance)
        registered = registration.readers(gallery) if gallery else None
        shape = transcripts[0].shape
        readers, profile = registration.readers(queries), self.options.profile
        yield Similarity(search(readers, registered, shape, profile, task.msssim, task.advance))
