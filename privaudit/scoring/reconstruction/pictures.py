"""What an attack that draws at random makes of one request from several initialisations (the paper's Fig. 4)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.contracts.claims import Reconstruction
from privaudit.imaging.patches import Shape, cut
from privaudit.msssim import ms_ssim, profile_for
from privaudit.scoring.kind import Titled


def gallery_rows(
    claims: Sequence[Reconstruction], truth: Tensor, other: Tensor | None, seen: Tensor, side: int
) -> list[list[Titled]]:
    """For each attacked patch a row of truth and mixture, then rows of what was recovered, with its MS-SSIM.

    Args:
        claims: of one request, from several initialisations.
        truth: the target [X, Y, Z].
        other: what it was mixed with; None where nothing was.
        seen: what was sent.
        side: of the patches; whole volumes are shown where the claims name no patches.
    """
    places, size = claims[0].positions, (side,) * 3
    if places is None:
        x, y, z = truth.shape
        places, size = np.zeros((1, 3), dtype=np.int64), (x, y, z)
    return [row for corner in places for row in _rows(truth, other, seen, claims, corner, size)]


def _rows(
    truth: Tensor, other: Tensor | None, seen: Tensor, claims: Sequence[Reconstruction], corner: NDArray[np.int64],
    size: Shape,
) -> list[list[Titled]]:  # fmt: skip
    def part(volume: Tensor) -> Tensor:
        return cut(volume, corner[None], size)[0].clamp(0, 1)

    target, mixture = part(truth), part(seen)
    cells = [("target", target)] + ([] if other is None else [("mixed with", part(other))])
    cells.append(("what was sent", mixture))
    pairs = [(part(c.image), part(c.image if c.reference is None else c.reference)) for c in claims]
    if other is None:
        return [cells, [_titled("target", n, one, target) for n, (one, _) in enumerate(pairs, start=1)]]
    reference = part(other)
    for number, (one, two) in enumerate(pairs):
        swapped = _like(two, target) + _like(one, reference) > _like(one, target) + _like(two, reference)
        if claims[number].exchangeable and swapped:
            pairs[number] = two, one
    targets = [_titled("target", n, one, target) for n, (one, _) in enumerate(pairs, start=1)]
    return [cells, targets, [_titled("reference", n, two, reference) for n, (_, two) in enumerate(pairs, start=1)]]


def _titled(name: str, start: int, image: Tensor, truth: Tensor) -> Titled:
    return f"{name}, start {start}\n{_like(image, truth):.3f}", image


def _like(image: Tensor, truth: Tensor) -> float:
    with torch.inference_mode():
        return float(ms_ssim(image[None], truth[None], profile_for(truth.shape)))
