"""Chosen images: whoever has a scheme with one key for everything sends what it likes, and undoes what it sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from privaudit.contracts.attack import Attack, Check, Protocol, Task
from privaudit.contracts.claims import Reconstruction
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.transcript import Transcript
from privaudit.learning.chosen import DRAWN, LINEAR, REPEATS, Broken, shared_break


class ChosenAttack(Attack):
    """The atlas and a correction: what images of the attacker's own choice tell of the scheme is solved for the image.

    It fits schemes that send the same for the same image, whatever the key, and that are linear or change every voxel
    alone. Elsewhere it says that it does not fit, and its claim is the atlas.
    """

    name = "chosen"
    summary = "images of the attacker's choice: schemes with one key for everything, linear or voxel by voxel, undone"
    claim = "reconstruction"
    about = ("target",)
    alone = True
    cheap = True

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """From one view; it cannot run where only recorded encodings are there."""
        return (Protocol("probes", frozenset({Rung.TRANSCRIPT, Rung.ATLAS}), fresh=True),)

    def health(self, protocol: Protocol, knowledge: Knowledge, task: Task) -> Iterator[Check]:
        """Whether the attack fits: one key for everything, and a map that was found."""
        found = self._break(knowledge, task, task.advance)
        same = found.repeats <= REPEATS
        name = "difference between encodings of one image under two keys, as a share of two images'"
        # Where keys are few, that the attack has no map is no excuse: somebody may try them all.
        yield Check(name, found.repeats, f"at most {REPEATS:g}", same, fits=same or found.equal > 0)
        if not same:
            name = f"encodings of one image under {DRAWN} fresh keys that were there before"
            yield Check(name, float(found.equal), "0", found.equal == 0)
        if found.missed is not None:
            known = found.found is not None
            name = f"share of what a change of an image changes that is not predicted ({found.form})"
            yield Check(name, found.missed, f"at most {LINEAR:g}", known, fits=known)

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Reconstruction]:
        """Probe the scheme, then yield one picture per request."""
        with task.ahead(0.9 * len(transcripts)) as advance:
            found = self._break(knowledge, task, advance)
        for transcript in transcripts:
            yield Reconstruction(transcript.request, found.invert(transcript))

    def _break(self, knowledge: Knowledge, task: Task, advance: Callable[[float], None]) -> Broken:
        assert task.defense is not None
        return shared_break(task.defense, knowledge.atlas, task.common_seed, advance)
