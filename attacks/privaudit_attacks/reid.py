"""Re-identification by MS-SSIM retrieval: the paper's protocol, and the realistic one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, Field
from torch import Tensor

from privaudit.attack import Attack, Protocol, Task
from privaudit.claims import Similarity
from privaudit.errors import OptionError
from privaudit.knowledge import Knowledge, Rung
from privaudit.msssim import PROFILES, DenseSimilarity, MsssimSimilarity, Profile, profile_for, reference_ms_ssim
from privaudit.options import PluginOptions
from privaudit.transcript import Transcript
from privaudit_attacks.registration import Registration

Readers = Sequence[Callable[[], Tensor]]


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, int) else value


class ReidOptions(PluginOptions):
    """Which retrieval."""

    protocols: list[Literal["encoded", "raw-gallery", "returned", "registered", "registered-gallery"]] = Field(
        default=["encoded", "raw-gallery"],
        min_length=1,
        description="encoded: among other encoded scans (the paper's); raw-gallery: in earlier raw scans; returned: the"
        " maps that come back, among each other, for schemes that send them in the clear; registered,"
        " registered-gallery: the first two after every scan was registered to an atlas, against secret deformations",
    )
    profile: str = Field(default="auto", description="MS-SSIM profile by name; auto takes the finest that fits")
    views: Annotated[list[Annotated[int, Field(ge=1)]], BeforeValidator(_listed)] = Field(
        default=[1],
        min_length=1,
        description="views of each scan that are averaged first (the paper: 1); more needs the rung 'views'. Of several"
        " numbers, those above what the defense sends are left out",
    )


class ReidAttack(Attack):
    """Each encoded scan is matched to the most similar other encoded scan, or to a raw scan of a named person."""

    name = "reid"
    summary = "re-identification: MS-SSIM retrieval among encoded scans and in a raw gallery"
    claim = "similarity"
    Options = ReidOptions
    options: ReidOptions

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """The ones asked for, with each number of views.

        Raises:
            OptionError: more views are to be averaged than the defense sends.
        """
        counts = sorted(set(self.options.views))
        if counts[0] > views_sent:
            raise OptionError(
                "reid cannot average more views than the defense sends", got=counts[0], allowed=views_sent
            )
        extra: dict[str, set[Rung]] = {
            "encoded": set(), "raw-gallery": {Rung.GALLERY}, "returned": {Rung.RETURNED},
            "registered": {Rung.ATLAS}, "registered-gallery": {Rung.ATLAS, Rung.GALLERY},
        }  # fmt: skip
        return tuple(
            Protocol(
                name if views == counts[0] else f"{name} K={views}",
                frozenset({Rung.TRANSCRIPT, *extra[name]} | ({Rung.VIEWS} if views > 1 else set())),
                views,
            )
            for name in self.options.protocols
            for views in counts
            if views <= views_sent
        )

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Similarity]:
        """Yield one similarity of all transcripts to each other, or to the gallery."""
        shape = transcripts[0].shape
        name = self.options.profile
        if name != "auto" and name not in PROFILES:
            raise OptionError("no such MS-SSIM profile", got=name, allowed=", ".join(["auto", *PROFILES]))
        profile = profile_for(shape) if name == "auto" else PROFILES[name]

        def reader(index: int) -> Callable[[], Tensor]:
            if Rung.RETURNED in protocol.knowledge:
                return lambda: transcripts[index].returned_image()
            return lambda: transcripts[index].averaged()

        queries = [reader(i) for i in range(len(transcripts))]
        gallery = [entry.load for entry in knowledge.gallery] if Rung.GALLERY in protocol.knowledge else None
        if Rung.ATLAS in protocol.knowledge:
            registration = Registration(knowledge.atlas)
            registration.prepare([*queries, *(gallery or [])], task.advance, len(queries))
            queries = registration.readers(queries)
            gallery = None if gallery is None else registration.readers(gallery)
        if task.msssim == "reference":
            yield Similarity(reference_similarity(queries, gallery, profile, task.advance))
        else:
            yield Similarity(MsssimSimilarity(queries, gallery, profile=profile))


def reference_similarity(
    queries: Readers, gallery: Readers | None, profile: Profile, advance: Callable[[float], None]
) -> DenseSimilarity:
    """Every pair through pytorch-msssim: slow, for those who want to see that the fast figures are the same."""
    columns = queries if gallery is None else gallery
    matrix = np.zeros((len(queries), len(columns)))
    for i, query in enumerate(queries):
        image = query()
        for j, column in enumerate(columns):
            if gallery is None and j <= i:
                matrix[i, j] = matrix[j, i]
            else:
                matrix[i, j] = float(reference_ms_ssim(image[None], column()[None], profile).item())
        advance(0)
    return DenseSimilarity(matrix, symmetric=gallery is None)
