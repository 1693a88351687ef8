"""A learned de-encoder: what any scheme gives away to somebody who encodes people of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from privaudit.contracts.attack import Attack, Check, Protocol, Task
from privaudit.contracts.claims import Reconstruction
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.options import PluginOptions
from privaudit.contracts.transcript import Transcript
from privaudit.learning.inversion import shared_inverter
from privaudit.learning.inversion_network import NetworkInverter
from privaudit.learning.inversion_pairs import OwnPairs
from privaudit.learning.inversion_training import LEAST as LEAST_OF_NETWORK
from privaudit.learning.inversion_training import shared_network

Effort = Literal["linear", "network"]
LEAST: Final[dict[Effort, int]] = {"linear": 3, "network": LEAST_OF_NETWORK}
"""People to learn from: one is left out, and two have a mean; of the network's, three are held out."""
LINEAR_SHARE: Final = 0.2
"""Of the work of learning both."""


class InvertOptions(PluginOptions):
    """How hard it tries, and how much is learned from."""

    effort: list[Effort] = Field(
        default=["linear"],
        min_length=1,
        description="linear: ridge regression, a minute; network: a 3-D U-Net that corrects it, some minutes; or both",
    )
    encodings: Annotated[int, Field(ge=1)] = Field(
        default=3, description="encodings of each of the attacker's people, each with a fresh key, for linear"
    )
    steps: Annotated[int, Field(ge=1)] = Field(default=400, description="optimiser steps of the network")
    returned: bool = Field(
        default=False, description="the network is shown the maps that come back, which needs the rung 'returned'"
    )

    @field_validator("effort", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="after")
    def _used(self) -> InvertOptions:
        if len(set(self.effort)) < len(self.effort):
            raise ValueError("name each effort once")
        if self.returned and self.effort != ["network"]:
            raise ValueError("only the network reads maps that come back; give effort=network alone")
        return self


class InvertAttack(Attack):
    """The atlas and a correction, learned on pairs of image and encoding of the attacker's own people.

    It fits every scheme: where the encoding tells nothing the correction is 0, and the claim is the atlas.
    """

    name = "invert"
    summary = "learned de-encoder: the atlas and a correction, learned on the attacker's own encoded people"
    claim = "reconstruction"
    about = ("target",)
    cheap = True
    Options = InvertOptions
    options: InvertOptions

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """From one view; and from all that are sent: linear of their mean, the network of all."""
        rungs = {Rung.TRANSCRIPT, Rung.ATLAS, Rung.POPULATION} | ({Rung.RETURNED} if self.options.returned else set())
        found = []
        for effort in self.options.effort:
            quick = effort == "linear"
            found.append(Protocol(effort, frozenset(rungs), cheap=quick, fresh=not quick))
            if views_sent > 1:
                of_all, held = f"{effort} K={views_sent}", frozenset(rungs | {Rung.VIEWS})
                found.append(Protocol(of_all, held, views=views_sent, cheap=quick, fresh=not quick))
        return tuple(found)

    def health(self, protocol: Protocol, knowledge: Knowledge, task: Task) -> Iterator[Check]:
        """Whether there are people to learn from, and what is left of the atlas's error of those who were left out."""
        people, least = len(knowledge.population), LEAST[_effort(protocol)]
        yield Check("people to learn from", float(people), f"at least {least}", people >= least)
        if people >= least:
            left = self._learn(protocol, knowledge, task, task.advance).left
            yield Check("squared error of people left out, as a share of the atlas's", left, "at most 1", left <= 1)

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Reconstruction]:
        """Learn, then yield one picture per request."""
        with task.ahead(0.9 * len(transcripts)) as advance:
            inverter = self._learn(protocol, knowledge, task, advance)
        for transcript in transcripts:
            yield Reconstruction(transcript.request, inverter.invert(transcript))

    def _learn(
        self, protocol: Protocol, knowledge: Knowledge, task: Task, advance: Callable[[float], None]
    ) -> NetworkInverter:
        assert task.defense is not None
        seed, share = task.common_seed, 1.0 if _effort(protocol) == "linear" else LINEAR_SHARE
        linear = shared_inverter(
            task.defense, knowledge.population, knowledge.atlas, protocol.views, self.options.encodings, seed,
            lambda done: advance(share * done),
        )  # fmt: skip
        if _effort(protocol) == "linear" or len(knowledge.population) < LEAST["network"]:
            return NetworkInverter(linear, None, linear.left)
        pairs = OwnPairs(task.defense, knowledge.population, linear, protocol.views, self.options.returned)
        return shared_network(
            pairs, self.options.encodings, self.options.steps, seed, task.workdir, task.device.type,
            lambda done: advance((1 - share) * done),
        )  # fmt: skip


def _effort(protocol: Protocol) -> Effort:
    return "network" if protocol.name.startswith("network") else "linear"
