"""Broken: encoders that change grey values and leave every voxel in its place."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from privaudit_zoo.base import ZooDefense, ZooKey

LEVELS: Final = 64
"""Grey values that are permuted."""
PIECES: Final = 16
"""Straight pieces of a secret table of grey values."""


class InvertedDefense(ZooDefense):
    """The negative, 1 less the image. Broken: anybody inverts it; there is no secret."""

    name = "zoo-inverted"
    summary = "zoo, broken: the negative"
    keyed = False

    def hide(self, image: Tensor, key: ZooKey) -> Tensor:
        """The negative."""
        return 1 - image


class MonotoneDefense(ZooDefense):
    """A fresh secret table of grey values, which rises: 16 straight pieces from 0 to 1 with exponential steps.

    Order-preserving encryption of grey values. Broken: Naveed, Kamara and Wright, "Inference attacks on
    property-preserving encrypted databases", ACM CCS 2015. Ranks of voxels are those of the image.
    """

    name = "zoo-monotone"
    summary = "zoo, broken: a fresh secret table of grey values that keeps their order"

    def hide(self, image: Tensor, key: ZooKey) -> Tensor:
        """Read the table at each voxel, linearly between its knots."""
        steps = torch.empty(PIECES, dtype=torch.float64).exponential_(generator=key.generator()) + 0.01
        knots = torch.cat([steps.new_zeros(1), steps.cumsum(0) / steps.sum()])
        place = image.double().clamp(0, 1) * PIECES
        piece = place.long().clamp(max=PIECES - 1)
        return torch.lerp(knots[piece], knots[piece + 1], place - piece).float()


class GreyPermutationDefense(ZooDefense):
    """64 grey values, exchanged with each other by a fresh secret permutation.

    A simple substitution. Broken: Shannon, "Communication theory of secrecy systems", 1949 (it falls to the statistics
    of the text). Which voxels have equal values, so every contour, is that of the image.
    """

    name = "zoo-grey-permutation"
    summary = "zoo, broken: 64 grey values under a fresh secret permutation"

    def hide(self, image: Tensor, key: ZooKey) -> Tensor:
        """Exchange grey values; they are shown as multiples of 1/63."""
        table = torch.randperm(LEVELS, generator=key.generator())
        return table[levels(image)].float() / (LEVELS - 1)


def levels(image: Tensor) -> Tensor:
    """The grey value of each voxel, int64 from 0 to 63."""
    return (image * (LEVELS - 1)).round().long().clamp(0, LEVELS - 1)
