"""A de-encoder that reads all values that are sent, whatever their shape: for encodings off the image's grid."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated

from pydantic import Field

from privaudit.contracts.attack import Attack, Check, Protocol, Task
from privaudit.contracts.claims import Reconstruction
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.options import PluginOptions
from privaudit.contracts.transcript import Transcript
from privaudit.learning.inversion import Inverter, shared_inverter
from privaudit.learning.values import LEAST, ValuesInverter, shared_values


class ValuesOptions(PluginOptions):
    """How much is learned from."""

    encodings: Annotated[int, Field(ge=1)] = Field(
        default=3, description="encodings of each of the attacker's people, each with a fresh key"
    )


class ValuesAttack(Attack):
    """The atlas and a correction, by ridge regression from everything that is sent to the image, or voxel by voxel.

    Which of the two is decided by the attacker's own people, left out one by one.

    Vectors, channels and other sizes are read as they are; the standard battery is joined by it where what is sent is
    not on the image's grid. Where the values tell nothing the correction is 0, and the claim is the atlas.
    """

    name = "values"
    summary = "learned de-encoder of all values that are sent, whatever their shape"
    claim = "reconstruction"
    about = ("target",)
    cheap = True
    Options = ValuesOptions
    options: ValuesOptions

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """From the mean of all views that are sent."""
        rungs = {Rung.TRANSCRIPT, Rung.ATLAS, Rung.POPULATION} | ({Rung.VIEWS} if views_sent > 1 else set())
        return (Protocol(f"K={views_sent}", frozenset(rungs), views=views_sent),)

    def health(self, protocol: Protocol, knowledge: Knowledge, task: Task) -> Iterator[Check]:
        """Whether there are people to learn from, and what is left of the atlas's error of those who were left out."""
        people = len(knowledge.population)
        yield Check("people to learn from", float(people), f"at least {LEAST}", people >= LEAST)
        left = self._learn(protocol, knowledge, task, task.advance).left
        yield Check("squared error of people left out, as a share of the atlas's", left, "at most 1", left <= 1)

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Reconstruction]:
        """Learn, then yield one picture per request."""
        with task.ahead(0.9 * len(transcripts)) as advance:
            inverter = self._learn(protocol, knowledge, task, advance)
        for transcript in transcripts:
            if isinstance(inverter, ValuesInverter):
                yield Reconstruction(transcript.request, inverter.invert(transcript))
            else:
                yield Reconstruction(transcript.request, inverter.invert(transcript.averaged()))

    def _learn(
        self, protocol: Protocol, knowledge: Knowledge, task: Task, advance: Callable[[float], None]
    ) -> ValuesInverter | Inverter:
        """The de-encoder of all values, or that of the view as an image: what helps own people left out more."""
        assert task.defense is not None
        people, atlas, o = knowledge.population, knowledge.atlas, self.options
        args = (task.defense, people, atlas, protocol.views, o.encodings, task.common_seed)
        whole = shared_values(*args, lambda share: advance(0.5 * share))
        local = shared_inverter(*args, lambda share: advance(0.5 * share))
        return whole if whole.left <= local.left else local
