"""The mean brain of a sample, and how much people differ from it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Atlas:
    """Voxel-wise mean and variance, float32 [X, Y, Z], of the attacker's population sample (aligned scans)."""

    mean: Tensor
    variance: Tensor

    def mean_without(self, image: Tensor, people: int) -> Tensor:
        """The mean of the others, where an image [X, Y, Z] is one of so many people's in the sample.

        A person must be told from it: in the mean of all there is something of that person already.
        """
        return (people * self.mean - image) / (people - 1)
