"""The trivial attacker who holds a gallery of raw scans and does not look at what was sent.

What such an attacker claims is no leak: an attack that holds the gallery must beat it. Everybody under attack is in the
gallery, so that a guess may be right.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from privaudit.contracts.attack import Protocol, Task
from privaudit.contracts.blind import Blind
from privaudit.contracts.claims import Reconstruction
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.transcript import Transcript
from privaudit.imaging.guessing import best_guess


class NearestGalleryAttack(Blind):
    """Claims for every target, and for every reference, the gallery's mean or the scan of it that is the best guess."""

    name = "nearest-gallery"
    summary = "trivial: the best guess from the gallery of named people, whatever was sent"
    claim = "reconstruction"
    holds = Rung.GALLERY

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Reconstruction]:
        """Yield the same pictures for each request."""
        images, side = [entry.load() for entry in knowledge.gallery], task.facts.patch_size
        target, reference = (best_guess(images, side, among) for among in (True, False))
        for transcript in transcripts:
            yield Reconstruction(transcript.request, target, reference)
