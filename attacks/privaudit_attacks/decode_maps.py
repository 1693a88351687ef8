"""The server reads the segmentation: the maps that it computes tell it the labels, without a key.

The server's output for a mixture is ``α·y + (1 − α)·y_ref`` (equation 3 of Mixup-Privacy). Its values give α and both
label maps, and several views, which have only the target in common, tell which is the target's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from privaudit.contracts.attack import Attack, Protocol, Task
from privaudit.contracts.claims import LabelMap
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.options import PluginOptions
from privaudit.contracts.transcript import Transcript
from privaudit.imaging.label_prior import LabelPrior
from privaudit.imaging.map_decoding import decode_maps
from privaudit.imaging.mixing import Mixed
from privaudit.imaging.patches import most_likely
from privaudit.learning.map_inversion import fallback


class DecodeMapsOptions(PluginOptions):
    """Which maps, and how many views."""

    maps: list[Literal["returned", "served"]] = Field(
        default=["returned", "served"],
        min_length=1,
        description="returned: those of an error-free server; served: those of the trained network, where there is one",
    )
    views: list[Annotated[int, Field(ge=1)]] = Field(
        default=[1, 3],
        min_length=1,
        description="numbers K of views of an error-free server that are decoded together, or as many as are sent; more"
        " than a few tell nothing new",
    )
    served_views: list[Annotated[int, Field(ge=1)]] = Field(
        default=[1, 3],
        min_length=1,
        description="the same of the trained network, which takes seconds a view",
    )


def _decoded(transcript: Transcript, prior: LabelPrior, mixed: Mixed | None) -> list[NDArray[np.int64]]:
    assert transcript.returned is not None
    found = decode_maps(transcript.returned, transcript.positions, transcript.shape, prior, mixed)
    return [most_likely(part) for part in (found.target, found.reference) if part is not None]


class DecodeMapsAttack(Attack):
    """Label maps of target, and of the first view's reference, from what comes back.

    Where that names fewer voxels of the attacker's own people rightly than the most frequent labels do, the maps of an
    error-free server are de-encoded instead: label frequencies and a learned correction, which starts at zero.
    """

    name = "decode-maps"
    summary = "the segmentation itself: both label maps out of the mixed ones that the server computes"
    claim = "label-map"
    cheap = True
    Options = DecodeMapsOptions
    options: DecodeMapsOptions

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """One for each kind of maps and number of views; all decide."""
        perfect, trained = (
            sorted({min(k, views_sent) for k in counts}) for counts in (self.options.views, self.options.served_views)
        )
        return tuple(
            Protocol(
                f"{maps} K={k}",
                frozenset(
                    {Rung.TRANSCRIPT, Rung.POPULATION, Rung(maps)} | ({Rung.VIEWS} if k > 1 else set())
                ),
                views=k,
                curve=f"views of {maps} maps",
                curve_x=k,
                cheap=maps == "returned",
            )
            for maps in dict.fromkeys(self.options.maps)
            for k in (perfect if maps == "returned" else trained)
        )  # fmt: skip

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[LabelMap]:
        """Yield both maps of each request."""
        people = knowledge.population
        prior = LabelPrior.of(volume.labels for volume in people)
        trained = Rung.SERVED in protocol.knowledge
        inverter, tried = None, trained or task.defense is None
        for transcript in transcripts:
            maps = transcript.served if trained else transcript.returned
            assert maps is not None
            if not tried:
                assert task.defense is not None
                tried = True
                inverter = fallback(
                    task.defense, people, prior, maps.shape[2], protocol.views, task.common_seed,
                    lambda own, others: _decoded(own, others, task.scheme.mixed),
                )  # fmt: skip
            if inverter is not None:
                labels = inverter.invert(transcript)
                usual = None if task.scheme.mixed is None else most_likely(prior.frequencies)
                yield LabelMap(transcript.request, labels, usual)
                continue
            found = decode_maps(maps, transcript.positions, transcript.shape, prior, task.scheme.mixed)
            yield LabelMap(
                transcript.request,
                most_likely(found.target),
                None if found.reference is None else most_likely(found.reference),
                exchangeable=not found.ordered,
                diagnostics={"alpha_found": float(found.alpha.mean()), "values_exact": float(found.exact)},
            )
