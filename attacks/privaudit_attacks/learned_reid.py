"""Re-identification by a learned metric: the attacker encodes its own people and learns what tells them apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Literal

from pydantic import Field
from torch import Tensor

from privaudit.contracts.attack import Attack, Protocol, Task
from privaudit.contracts.claims import Similarity
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.retrieval import HELD, RetrievalOptions
from privaudit.contracts.transcript import Transcript
from privaudit.errors import OptionError
from privaudit.learning.loop import reaching
from privaudit.learning.metric import embed
from privaudit.learning.metric_training import MetricTraining, learn_metric
from privaudit.learning.options import LoopOptions
from privaudit.learning.own_people import shared_sampler
from privaudit.msssim import DenseSimilarity

REPEAT = " repeat="


class LearnedReidOptions(RetrievalOptions):
    """How the metric is learned, and what it is used for."""

    steps: Annotated[int, Field(ge=1)] = Field(default=100, description="optimiser steps")
    batch: Annotated[int, Field(ge=2)] = Field(default=8, description="people per step")
    learning_rate: Annotated[float, Field(gt=0)] = Field(default=3e-3, description="of Adam")
    network: Literal["filters", "resnet10", "densenet121"] = Field(
        default="filters",
        description="filters: of a few voxels, and a weight for each voxel, starting from a correlation; or the network"
        " of a Siamese discriminator, from nothing, which needs more people",
    )
    encodings: Annotated[int, Field(ge=2)] = Field(
        default=16, description="encodings of each of the attacker's people, each with a fresh key, that are learned on"
    )
    repeats: Annotated[int, Field(ge=1)] = Field(
        default=1,
        description="trainings with seeds of their own; the first decides, mean and spread are shown",
    )
    views: Annotated[int, Field(ge=1)] = Field(
        default=1, description="views of each scan that are averaged first; more needs the rung 'views'"
    )


class LearnedReidAttack(Attack):
    """Each encoded scan is matched to the one, or to the raw scan, that a learned metric finds most alike."""

    name = "learned-reid"
    summary = "re-identification: a metric learned on pairs of the attacker's own people, encoded by itself"
    claim = "similarity"
    Options = LearnedReidOptions
    options: LearnedReidOptions

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """The ones asked for, each as often as it is repeated.

        Raises:
            OptionError: more views are to be averaged than the defense sends.
        """
        views = self.options.views
        if views > views_sent:
            raise OptionError(
                "learned-reid cannot average more views than the defense sends", got=views, allowed=views_sent
            )
        base = {Rung.TRANSCRIPT, Rung.POPULATION} | ({Rung.VIEWS} if views > 1 else set())
        once = self.options.repeats == 1
        return tuple(
            Protocol(
                name + (f"{REPEAT}{number}" if number > 1 else ""), HELD[name] | base, views,
                primary=number == 1, curve=None if once else f"training, {name}", curve_x=float(number),
                repeated=not once, fresh=True,
            )
            for name in self.options.protocols
            for number in range(1, self.options.repeats + 1)
        )  # fmt: skip

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Similarity]:
        """Learn the metric, then yield one similarity of all transcripts to each other, or to the gallery."""
        assert task.defense is not None
        seed = int(task.rng("metric").integers(2**31))
        sampler = shared_sampler(
            task.defense, knowledge.population, protocol.views, self.options.encodings, task.attack_seed
        )
        o, gallery = self.options, Rung.GALLERY in protocol.knowledge
        options = LoopOptions(
            steps=o.steps, batch=o.batch, learning_rate=o.learning_rate, ema=0.0, validate_every=o.steps,
            checkpoint_every=25,
        )  # fmt: skip
        backbone = None if o.network == "filters" else o.network
        training = MetricTraining(options, sampler, gallery, seed, task.workdir, task.device.type, backbone)
        with task.ahead(0.9 * len(transcripts)) as advance:
            network, _ = learn_metric(training, reaching(advance, o.steps))

        def reader(index: int) -> Callable[[], Tensor]:
            return lambda: transcripts[index].averaged()

        queries = embed(network, [reader(index) for index in range(len(transcripts))], 0)
        if gallery:
            yield Similarity(DenseSimilarity(queries @ embed(network, [e.load for e in knowledge.gallery], 1).T))
        else:
            likeness = queries @ queries.T
            yield Similarity(DenseSimilarity((likeness + likeness.T) / 2, symmetric=True))
