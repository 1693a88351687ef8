"""What a smooth secret deformation hides, once the encoded scan is registered to an atlas."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from privaudit.attack import Attack, Protocol, Task
from privaudit.claims import Reconstruction
from privaudit.knowledge import Knowledge, Rung
from privaudit.patches import as_tensor
from privaudit.transcript import Transcript
from privaudit_attacks.registration import Registration

BEYOND: Final = 1.2
"""Times that brain must move further than in any of the attacker's own people for a scan to count as warped."""


class UnwarpAttack(Attack):
    """Claims the first view, registered to the atlas if it was warped, and as it is if it was not.

    The atlas is the mean of the attacker's own people, who also show how far registration moves scans that nobody
    warped. What is recovered has the atlas's coarse shape, and the person's own folds and grey values.
    """

    name = "unwarp"
    summary = "registers the first encoded view to an atlas, which undoes smooth deformations"
    claim = "reconstruction"

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """One, with the transcript, an atlas and the people that it is of."""
        return (Protocol("default", frozenset({Rung.TRANSCRIPT, Rung.ATLAS, Rung.POPULATION})),)

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Reconstruction]:
        """Yield each encoding, unwarped."""
        registration = Registration(knowledge.atlas)
        ordinary = max(registration.register(as_tensor(own.image))[1] for own in knowledge.population)
        for transcript in transcripts:
            sent = transcript.stitched()
            registered, moved = registration.register(sent)
            yield Reconstruction(transcript.request, registered if moved > BEYOND * ordinary else sent)
