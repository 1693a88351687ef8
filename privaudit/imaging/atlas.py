"""The mean brain of a sample, and how much people differ from it."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Atlas:
    """Voxel-wise mean and variance, float32 [X, Y, Z], of the attacker's population sample (aligned scans)."""

    mean: Tensor
    variance: Tensor
