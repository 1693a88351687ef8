"""The mean brain of a sample, and how much people differ from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Atlas:
    """Voxel-wise mean and variance, float32 [X, Y, Z], of the attacker's population sample (aligned scans)."""

    mean: Tensor
    variance: Tensor

    @classmethod
    def of(cls, images: Iterable[Tensor]) -> Atlas:
        """Mean and variance of images [X, Y, Z], accumulated one at a time; at least one is needed."""
        mean = square = torch.zeros(())
        number = 0
        for number, image in enumerate(images, start=1):
            delta = image.double() - mean
            mean = mean + delta / number
            square = square + delta * (image.double() - mean)
        return cls(mean.float(), (square / max(1, number - 1)).float())

    def mean_without(self, image: Tensor, people: int) -> Tensor:
        """The mean of the others, where an image [X, Y, Z] is one of so many people's in the sample.

        A person must be told from it: in the mean of all there is something of that person already.
        """
        return (people * self.mean - image) / (people - 1)
