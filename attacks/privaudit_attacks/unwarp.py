"""What a smooth secret deformation hides, once the encoded scan is registered to an atlas."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Iterator, Sequence
from typing import Final

from privaudit.attack import Attack, Protocol, Task
from privaudit.claims import Reconstruction
from privaudit.cohort import Volume
from privaudit.knowledge import Knowledge, Rung
from privaudit.learning.metric import Others
from privaudit.patches import as_tensor, stitch
from privaudit.transcript import Transcript
from privaudit_attacks.registration import Registration

FURTHER: Final = 1.2
"""Times that brain must move further in the attacker's own people once they are encoded for the scheme to be a warp."""


class UnwarpAttack(Attack):
    """Claims the first view, registered to the atlas if it was warped, and as it is if it was not.

    The atlas is the mean of the attacker's own people. How far registration moves them, raw and as the attacker encodes
    them itself, tells whether the scheme warps, and which scans it has warped. What is recovered has the atlas's coarse
    shape, and the person's own folds and grey values.
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
        least = _least_warped(registration, knowledge.population, task)
        for transcript in transcripts:
            sent = transcript.stitched()
            registered, moved = registration.register(sent)
            yield Reconstruction(transcript.request, registered if moved > least else sent)


def _least_warped(registration: Registration, people: Sequence[Volume], task: Task) -> float:
    """From how many voxels of movement a scan counts as warped; infinite if the scheme warps nothing."""
    assert task.defense is not None
    keys = random.Random(task.attack_seed)
    raw, sent = [], []
    for person, volume in enumerate(people):
        image = as_tensor(volume.image)
        key = task.defense.draw_key(registration.shape, Others(people, person), keys)
        encoded = task.defense.encode(image, key, 1)
        raw.append(registration.register(image)[1])
        sent.append(registration.register(stitch(encoded.views[0], encoded.positions, registration.shape))[1])
    before, after = statistics.fmean(raw), statistics.fmean(sent)
    return (before + after) / 2 if after > FURTHER * before else math.inf
