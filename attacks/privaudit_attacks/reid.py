"""Re-identification by MS-SSIM retrieval: the paper's protocol, and the realistic one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import BeforeValidator, Field
from scipy import ndimage
from torch import Tensor

from privaudit.contracts.attack import Attack, Protocol, Task
from privaudit.contracts.claims import Similarity
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.options import PluginOptions
from privaudit.contracts.transcript import Transcript
from privaudit.errors import OptionError
from privaudit.learning.own_people import FINEST, coarse
from privaudit.msssim.search import search


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, int) else value


class ReidOptions(PluginOptions):
    """Which retrieval."""

    protocols: list[Literal["encoded", "raw-gallery", "returned"]] = Field(
        default=["encoded", "raw-gallery"],
        min_length=1,
        description="encoded: among other encoded scans (the paper's); raw-gallery: in earlier raw scans; returned: the"
        " maps that come back, among each other, for schemes that send them in the clear",
    )
    profile: str = Field(default="auto", description="MS-SSIM profile by name; auto takes the finest that fits")
    views: Annotated[list[Annotated[int, Field(ge=1)]], BeforeValidator(_listed)] = Field(
        default=[1],
        min_length=1,
        description="views of each scan that are averaged first (the paper: 1); more needs the rung 'views'. Of several"
        " numbers, those above what the defense sends are left out",
    )
    lowpass_mm: float = Field(
        default=0.0,
        ge=0,
        allow_inf_nan=False,
        description="blur every scan, of a gallery too, with a Gaussian of this standard deviation before it is"
        " compared; 0: not at all. Who is found only without the blur is found by noise and the finest detail",
    )
    coarse: bool = Field(
        default=False,
        description=f"halve volumes with a side above {FINEST} voxels first, which takes an eighth of time and memory",
    )


class ReidAttack(Attack):
    """Each encoded scan is matched to the most similar other encoded scan, or to a raw scan of a named person."""

    name = "reid"
    summary = "re-identification: MS-SSIM retrieval among encoded scans and in a raw gallery"
    claim = "similarity"
    cheap = True
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
        extra: dict[str, set[Rung]] = {"encoded": set(), "raw-gallery": {Rung.GALLERY}, "returned": {Rung.RETURNED}}
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
        scale = np.linalg.norm(transcripts[0].affine[:3, :3], axis=0)  # millimetres of a voxel along each axis

        def seen(volume: Tensor) -> Tensor:
            if self.options.lowpass_mm:
                sigma = self.options.lowpass_mm / scale
                volume = torch.from_numpy(ndimage.gaussian_filter(volume.numpy(), sigma, mode="constant"))
            return coarse(volume)[0, 0] if self.options.coarse else volume

        def query(index: int) -> Tensor:
            transcript = transcripts[index]
            back = Rung.RETURNED in protocol.knowledge
            return seen(transcript.returned_image() if back else transcript.averaged())

        def named(load: Callable[[], Tensor]) -> Tensor:
            return seen(load())

        queries = [partial(query, index) for index in range(len(transcripts))]
        in_gallery = Rung.GALLERY in protocol.knowledge
        gallery = [partial(named, entry.load) for entry in knowledge.gallery] if in_gallery else None
        shape = coarse(torch.empty(transcripts[0].shape)).shape[2:] if self.options.coarse else transcripts[0].shape
        yield Similarity(search(queries, gallery, shape, self.options.profile, task.msssim, task.advance))
