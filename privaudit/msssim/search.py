"""Who is most alike: MS-SSIM of every query to all others or to a gallery, by either implementation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from torch import Tensor

from privaudit.errors import OptionError
from privaudit.msssim.pairs import reference_ms_ssim
from privaudit.msssim.profile import PROFILES, Profile, profile_for
from privaudit.msssim.ranking import DenseSimilarity
from privaudit.msssim.retrieval import MsssimSimilarity

Readers = Sequence[Callable[[], Tensor]]


def search(
    queries: Readers, gallery: Readers | None, shape: Sequence[int], profile: str,
    implementation: Literal["fast", "reference"], advance: Callable[[float], None],
) -> DenseSimilarity | MsssimSimilarity:  # fmt: skip
    """MS-SSIM of every query to all others, or to a gallery.

    Args:
        queries: read volumes [X, Y, Z].
        gallery: the same, or None to compare the queries with each other.
        shape: of the volumes, in voxels.
        profile: by name; 'auto' takes the finest that fits.
        implementation: 'fast', or 'reference' for pytorch-msssim: slow, to see that the fast figures are the same.
        advance: progress callback.

    Raises:
        OptionError: no profile of that name.
    """
    if profile != "auto" and profile not in PROFILES:
        raise OptionError("no such MS-SSIM profile", got=profile, allowed=", ".join(["auto", *PROFILES]))
    chosen = profile_for(shape) if profile == "auto" else PROFILES[profile]
    if implementation == "reference":
        return _every_pair(queries, gallery, chosen, advance)
    return MsssimSimilarity(queries, gallery, profile=chosen)


def _every_pair(
    queries: Readers, gallery: Readers | None, profile: Profile, advance: Callable[[float], None]
) -> DenseSimilarity:
    """Every pair through pytorch-msssim."""
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
