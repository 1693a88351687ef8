"""A learned de-encoder on a normal form of the encoding: for schemes that a few cheap functions undo."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field

from privaudit.contracts.attack import Attack, Check, Protocol, Task
from privaudit.contracts.claims import Reconstruction
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.options import PluginOptions
from privaudit.contracts.transcript import Transcript
from privaudit.imaging.forms import Chain
from privaudit.learning.inversion import LEAST, Inverter, shared_inverter
from privaudit.learning.readings import Reading, readings_of
from privaudit.learning.unwrapping import Unwrapped, shared_choice


class UnwrapOptions(PluginOptions):
    """How much is tried and learned from."""

    effort: Literal["quick", "full"] = Field(
        default="quick", description="full: also forms that take longer (stretched axes, small blocks, smooth warps)"
    )
    encodings: Annotated[int, Field(ge=1)] = Field(
        default=3, description="encodings of each of the attacker's people, each with a fresh key"
    )


class UnwrapAttack(Attack):
    """``invert`` on a normal form of what was sent, chosen on the attacker's own people and never on victims.

    Forms undo signs, tables of grey values, shifts, flips, turns, rigid moves and scrambled blocks
    (:mod:`privaudit.imaging.forms`). Where none tells anything, the claim is the atlas.
    """

    name = "unwrap"
    summary = "learned de-encoder on a normal form: signs, tables, shifts, turns, moves and scrambled blocks undone"
    claim = "reconstruction"
    about = ("target",)
    Options = UnwrapOptions
    options: UnwrapOptions

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """From all views that are sent, averaged, or in the sum that tells most of own people."""
        rungs = {Rung.TRANSCRIPT, Rung.ATLAS, Rung.POPULATION}
        if views_sent == 1:
            return (Protocol("linear", frozenset(rungs)),)
        return (Protocol(f"linear K={views_sent}", frozenset(rungs | {Rung.VIEWS}), views=views_sent),)

    def health(self, protocol: Protocol, knowledge: Knowledge, task: Task) -> Iterator[Check]:
        """Whether there are people to learn from, and what is left of the atlas's error of those who were left out."""
        people = len(knowledge.population)
        yield Check("people to learn from", float(people), f"at least {LEAST}", people >= LEAST)
        if people >= LEAST:
            reading, chain, inverter = self._learn(protocol, knowledge, task, task.advance)
            form = str(chain) if reading.weights is None else f"{reading}, {chain}"
            name = f"squared error of people left out, as a share of the atlas's ({form})"
            yield Check(name, inverter.left, "at most 1", inverter.left <= 1)

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Reconstruction]:
        """Choose and learn, then yield one picture per request."""
        with task.ahead(0.9 * len(transcripts)) as advance:
            reading, chain, inverter = self._learn(protocol, knowledge, task, advance)
        atlas = knowledge.atlas
        for transcript in transcripts:
            form = chain(reading.of(transcript), atlas)
            yield Reconstruction(transcript.request, inverter.invert(form))

    def _learn(
        self, protocol: Protocol, knowledge: Knowledge, task: Task, advance: Callable[[float], None]
    ) -> tuple[Reading, Chain, Inverter]:
        """The reading and the chain that leave least of own people's images, and the de-encoder that goes with them."""
        assert task.defense is not None
        people, atlas, seed = knowledge.population, knowledge.atlas, task.common_seed
        readings = readings_of(task.defense, people, atlas, protocol.views, seed, lambda share: advance(0.1 * share))
        tried: list[tuple[float, Reading, Chain]] = []
        for reading in readings:
            scheme, views = reading.scheme(task.defense, protocol.views)
            best, *_ = shared_choice(
                scheme, people, atlas, views, self.options.effort, seed,
                lambda share: advance(0.6 * share / len(readings)),
            )  # fmt: skip
            tried.append((best.left, reading, best.chain))
        _, reading, chain = min(tried, key=lambda item: item[0])  # of equals the first
        scheme, views = reading.scheme(task.defense, protocol.views)
        inverter = shared_inverter(
            Unwrapped(scheme, chain, atlas), people, atlas, views, self.options.encodings, seed,
            lambda share: advance(0.3 * share),
        )  # fmt: skip
        return reading, chain, inverter
