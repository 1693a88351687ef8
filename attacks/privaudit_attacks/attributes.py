"""Age and sex of the person behind a request, by linear models of the attacker's own people."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Final, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from privaudit.contracts.attack import Attack, Check, Protocol, Task
from privaudit.contracts.claims import Attributes
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.options import PluginOptions
from privaudit.contracts.transcript import Transcript
from privaudit.imaging.label_prior import GreyValues, LabelPrior
from privaudit.imaging.map_decoding import decode_maps
from privaudit.learning.attributes import Floats, Learned, Tissues, learn_class, learn_number, principal
from privaudit.learning.inversion import shared_inverter
from privaudit.learning.own_people import Others, coarse, send_own

Measure = Callable[[Transcript], list[Floats]]
"""Reads an encoding: features, and then volumes of which principal components are taken."""
ENOUGH: Final = 100
"""Own people whose age or sex is known, for silence to count: so many show an R² of 0.1 in 9 of 10 samples."""


class AttributesOptions(PluginOptions):
    """What is looked at, and how much is learned from."""

    protocols: list[Literal["encoded", "returned"]] = Field(
        default=["encoded", "returned"],
        min_length=1,
        description="encoded: what was sent, and a picture de-encoded from it; returned: label maps decoded from what"
        " an error-free server sends back",
    )
    views: list[Annotated[int, Field(ge=1)]] = Field(
        default=[1, 3], min_length=1, description="numbers K of views of a target, or as many as are sent"
    )
    encodings: Annotated[int, Field(ge=1)] = Field(
        default=3, description="encodings of each of the attacker's people, each with a fresh key"
    )
    components: Annotated[int, Field(ge=1)] = Field(
        default=12, description="principal components of the pictures, and as many of the encodings, at most"
    )


class AttributesAttack(Attack):
    """Learns on own people, encoded by itself, what encodings tell of age (ridge) and sex (logistic regression)."""

    name = "attributes"
    summary = "age and sex, from tissues and pictures: linear models learned on the attacker's own encoded people"
    claim = "attribute"
    cheap = True
    Options = AttributesOptions
    options: AttributesOptions

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """The ones asked for, for each number of views; all decide."""
        held = {
            "encoded": {Rung.TRANSCRIPT, Rung.ATLAS, Rung.POPULATION},
            "returned": {Rung.TRANSCRIPT, Rung.POPULATION, Rung.RETURNED},
        }
        return tuple(
            Protocol(
                name if k == 1 else f"{name} K={k}",
                frozenset(held[name] | ({Rung.VIEWS} if k > 1 else set())),
                views=k,
                curve=f"views, {name}",
                curve_x=k,
            )
            for name in dict.fromkeys(self.options.protocols)
            for k in sorted({min(k, views_sent) for k in self.options.views})
        )

    def health(self, protocol: Protocol, knowledge: Knowledge, task: Task) -> Iterator[Check]:
        """Whether there are enough people to learn from: of few, a weak relation is not learned, and not noticed."""
        for name in ("age", "sex"):
            people = sum(name in person for person in knowledge.attributes)
            yield Check(f"own people whose {name} is known", float(people), f"at least {ENOUGH}", people >= ENOUGH)
        task.advance(1)

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Attributes]:
        """Learn, then yield a claim for each request."""
        with task.ahead(0.9 * len(transcripts)) as advance:
            share = 0.5 if Rung.ATLAS in protocol.knowledge else 0.0
            measure = self._measure(protocol, knowledge, task, lambda done: advance(share * done))
            own, people = self._own(protocol, knowledge, task, measure, lambda done: advance((1 - share) * done))
        bases = [principal(volumes, self.options.components) for volumes in own[1:]]

        def reduced(found: Sequence[Floats]) -> Floats:
            return np.hstack([found[0], *(base(some) for base, some in zip(bases, found[1:], strict=True))])

        features = reduced(own)
        age = self._age(features, people, knowledge)
        sex, sexes = self._sex(features, people, knowledge, task)
        told = {} if age is None or age.own is None else {"own_age_r2": age.own}
        told |= {} if sex is None or sex.own is None else {"own_sex_auc": sex.own}
        for transcript in transcripts:
            seen = reduced([one[None] for one in measure(transcript)])[0]
            second = 0.0 if sex is None else sex(seen)
            yield Attributes(
                transcript.request,
                {} if age is None else {"age": age(seen)},
                {} if sex is None else {"sex": {sexes[0]: 1 - second, sexes[1]: second}},
                told,
            )

    def _measure(
        self, protocol: Protocol, knowledge: Knowledge, task: Task, advance: Callable[[float], None]
    ) -> Measure:
        people = knowledge.population
        prior = LabelPrior.of(volume.labels for volume in people)
        tissues = Tissues.of(prior)
        if Rung.RETURNED in protocol.knowledge:

            def decoded(transcript: Transcript) -> list[Floats]:
                assert transcript.returned is not None
                found = decode_maps(
                    transcript.returned, transcript.positions, transcript.shape, prior, task.scheme.mixed
                )
                maps = [found.target] if found.reference is None else [found.target, found.reference]
                return [np.concatenate([tissues.measure(one) for one in maps])]

            return decoded
        assert task.defense is not None
        inverter = shared_inverter(
            task.defense, people, knowledge.atlas, protocol.views, self.options.encodings, task.common_seed, advance
        )
        grey = GreyValues.of(((volume.image, volume.labels) for volume in people), len(prior.frequencies))

        def pictured(transcript: Transcript) -> list[Floats]:
            sent = transcript.averaged()
            picture = inverter.invert(sent)
            measured = tissues.measure(grey.classify(picture, prior))
            return [measured, *(coarse(one).flatten().double().numpy() for one in (picture, sent))]

        return pictured

    def _own(
        self, protocol: Protocol, knowledge: Knowledge, task: Task, measure: Measure, advance: Callable[[float], None]
    ) -> tuple[list[Floats], NDArray[np.int64]]:
        """Features and volumes of own people's encodings, each [n, …], and whose they are [n]."""
        assert task.defense is not None
        keys, everybody = random.Random(task.attack_seed), knowledge.population
        classes = None
        if Rung.RETURNED in protocol.knowledge:
            classes = 1 + max(int(volume.labels.max()) for volume in everybody)
        rows, whose = [], []
        for person, volume in enumerate(everybody):
            for _ in range(self.options.encodings):
                others = Others(everybody, person)
                rows.append(measure(send_own(task.defense, volume, others, keys, protocol.views, classes)))
                whose.append(person)
            advance(1 / len(everybody))
        return [np.stack(column) for column in zip(*rows, strict=True)], np.array(whose)

    def _age(self, features: Floats, people: NDArray[np.int64], knowledge: Knowledge) -> Learned | None:
        ages = np.array([float(person.get("age", np.nan)) for person in knowledge.attributes])[people]
        known = np.isfinite(ages)
        return learn_number(features[known], ages[known], people[known]) if known.any() else None

    def _sex(
        self, features: Floats, people: NDArray[np.int64], knowledge: Knowledge, task: Task
    ) -> tuple[Learned | None, list[str]]:
        """A model of the second class in the alphabet, and both classes; None where nobody's is known."""
        classes = [str(person.get("sex", "")) for person in knowledge.attributes]
        named = np.array(classes)[people]
        sexes = sorted({*classes} - {""})
        if not sexes:
            return None, []
        known = named != ""
        second = named[known] == sexes[-1]
        names = sexes if len(sexes) == 2 else ["", sexes[-1]]
        return learn_class(features[known], second, people[known], task.common_seed), names
