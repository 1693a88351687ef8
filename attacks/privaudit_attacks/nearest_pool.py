"""The trivial attacker who holds the reference pool and does not look at what was sent.

What such an attacker claims is no leak: an attack that holds the pool must beat it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from privaudit.contracts.attack import Protocol, Task
from privaudit.contracts.blind import Blind
from privaudit.contracts.claims import Reconstruction
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.transcript import Transcript
from privaudit.imaging.guessing import best_guess
from privaudit.imaging.patches import as_tensor


class NearestPoolAttack(Blind):
    """Claims for every target, and for every reference, the pool's mean or the scan of it that is the best guess."""

    name = "nearest-pool"
    summary = "trivial: the best guess from the pool of mixing references, whatever was sent"
    claim = "reconstruction"
    holds = Rung.POOL

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Reconstruction]:
        """Yield the same pictures for each request."""
        images, side = [as_tensor(volume.image) for volume in knowledge.pool], task.facts.patch_size
        target, reference = (best_guess(images, side, among) for among in (False, True))
        for transcript in transcripts:
            yield Reconstruction(transcript.request, target, reference)
