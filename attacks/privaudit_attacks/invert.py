"""A learned de-encoder: what any scheme gives away to somebody who encodes people of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Final

from pydantic import Field

from privaudit.contracts.attack import Attack, Check, Protocol, Task
from privaudit.contracts.claims import Reconstruction
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.options import PluginOptions
from privaudit.contracts.transcript import Transcript
from privaudit.learning.inversion import Inverter, shared_inverter

LEAST: Final = 3
"""People to learn from: one is left out, and two have a mean."""


class InvertOptions(PluginOptions):
    """How much is learned from."""

    encodings: Annotated[int, Field(ge=1)] = Field(
        default=3, description="encodings of each of the attacker's people, each with a fresh key"
    )


class InvertAttack(Attack):
    """The atlas and a correction, learned on pairs of image and encoding of the attacker's own people.

    It fits every scheme: where the encoding tells nothing the correction is 0, and the claim is the atlas.
    """

    name = "invert"
    summary = "learned de-encoder: the atlas and a linear correction, learned on the attacker's own encoded people"
    claim = "reconstruction"
    cheap = True
    Options = InvertOptions
    options: InvertOptions

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """From one view; and from all that are sent, averaged."""
        rungs = {Rung.TRANSCRIPT, Rung.ATLAS, Rung.POPULATION}
        one = Protocol("linear", frozenset(rungs))
        if views_sent == 1:
            return (one,)
        return (one, Protocol(f"linear K={views_sent}", frozenset(rungs | {Rung.VIEWS}), views=views_sent))

    def health(self, protocol: Protocol, knowledge: Knowledge, task: Task) -> Iterator[Check]:
        """Whether there are people to learn from, and what is left of the atlas's error of those who were left out."""
        people = len(knowledge.population)
        yield Check("people to learn from", float(people), f"at least {LEAST}", people >= LEAST)
        if people >= LEAST:
            left = self._learn(protocol, knowledge, task, task.advance).left
            yield Check("squared error of people left out, as a share of the atlas's", left, "at most 1", left <= 1)

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Reconstruction]:
        """Learn, then yield one picture per request."""
        with task.ahead(0.9 * len(transcripts)) as advance:
            inverter = self._learn(protocol, knowledge, task, advance)
        for transcript in transcripts:
            yield Reconstruction(transcript.request, inverter.invert(transcript.averaged()))

    def _learn(
        self, protocol: Protocol, knowledge: Knowledge, task: Task, advance: Callable[[float], None]
    ) -> Inverter:
        assert task.defense is not None
        return shared_inverter(
            task.defense, knowledge.population, knowledge.atlas, protocol.views, self.options.encodings,
            task.common_seed, advance,
        )  # fmt: skip
