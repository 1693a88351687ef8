"""Re-identification by label maps: scans are alike whose decoded segmentations depart alike from the population's.

A mixture decodes to two label maps, and from one view nobody can tell which is the target's: two scans are as alike as
their likest maps. Two that are identical are one reference, not one person: nobody has the same map on two days.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from privaudit.contracts.attack import Attack, Protocol, Task
from privaudit.contracts.claims import Similarity
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.retrieval import RetrievalOptions, retrievals
from privaudit.contracts.transcript import Transcript
from privaudit.imaging.label_prior import GreyValues, LabelPrior
from privaudit.imaging.map_decoding import decode_maps
from privaudit.learning.own_people import coarse
from privaudit.msssim import DenseSimilarity

SAME: Final = 0.999
"""Cosine from which two maps are one and the same, rounding included; of one person on two days it is far lower."""


class DecodedReidOptions(RetrievalOptions):
    """Which retrieval, of which maps."""

    maps: list[Literal["returned", "served"]] = Field(
        default=["returned"],
        min_length=1,
        description="returned: those of an error-free server; served: those of the trained network, which takes"
        " seconds a scan",
    )


class DecodedReidAttack(Attack):
    """Cosine of how label maps differ from label frequencies; gallery images are segmented by grey value and place."""

    name = "decoded-reid"
    summary = "re-identification: label maps decoded from what comes back, compared with each other or with raw scans"
    claim = "similarity"
    cheap = True
    Options = DecodedReidOptions
    options: DecodedReidOptions

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """The ones asked for, of one view, for each kind of maps."""
        out = []
        for maps in dict.fromkeys(self.options.maps):
            some = retrievals(self.options.protocols, (Rung.TRANSCRIPT, Rung(maps), Rung.POPULATION))
            perfect = maps == "returned"
            out += [p if perfect else replace(p, name=f"{p.name} served", cheap=False) for p in some]
        return tuple(out)

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Similarity]:
        """Yield one similarity of all transcripts to each other, or to the gallery."""
        people = knowledge.population
        prior = LabelPrior.of(volume.labels for volume in people)

        def vector(maps: Tensor) -> Tensor:
            difference = torch.stack([coarse(one)[0, 0] for one in prior.residual(maps)]).flatten()
            return torch.nn.functional.normalize(difference, dim=0)

        queries = []
        with task.ahead(0.9 * len(transcripts)) as advance:
            for transcript in transcripts:
                seen = transcript.served if Rung.SERVED in protocol.knowledge else transcript.returned
                assert seen is not None
                found = decode_maps(seen, transcript.positions, transcript.shape, prior, task.scheme.mixed)
                maps = [found.target] if found.reference is None else [found.target, found.reference]
                queries.append(torch.stack([vector(one) for one in maps]))
                advance(1 / len(transcripts))
        if Rung.GALLERY in protocol.knowledge:
            grey = GreyValues.of(((volume.image, volume.labels) for volume in people), len(prior.frequencies))
            named = [vector(grey.classify(entry.load(), prior))[None] for entry in knowledge.gallery]
            yield Similarity(DenseSimilarity(likest(queries, named, distinct=False)))
        else:
            scores = likest(queries, queries, distinct=task.scheme.mixes)
            yield Similarity(DenseSimilarity(np.maximum(scores, scores.T), symmetric=True))


def likest(queries: Sequence[Tensor], entries: Sequence[Tensor], distinct: bool) -> NDArray[np.float64]:
    """Greatest cosine of any map of a query and any of an entry, [queries, entries].

    Args:
        queries: unit vectors [sources, L] of each.
        entries: the same, of as many sources each.
        distinct: leave out pairs of maps that are the same.
    """
    cosine = torch.cat(list(queries)) @ torch.cat(list(entries)).T
    if distinct:
        cosine = cosine.masked_fill(cosine > SAME, -1)
    pairs = cosine.reshape(len(queries), len(queries[0]), len(entries), len(entries[0]))
    found: NDArray[np.float64] = pairs.amax(dim=(1, 3)).double().numpy()
    return found
