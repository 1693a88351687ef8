"""How training examples of a scheme are made: part of its contract."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """How an example is made.

    Attributes:
        size: side of the patch in voxels.
        alpha: ends of the uniform distribution of the target's weight, one draw per patch; None where nothing is mixed.
        references: how many references are mixed together.
        equal: whether they have equal shares, else uniform on the simplex.
        aligned: whether reference patches are cut at the target's place, else anywhere.
        foreground: share of the patches that are placed over a labelled voxel, every label as often.
        flip: whether patches are mirrored left to right at random.
    """

    size: int
    alpha: tuple[float, float] | None
    references: int = 1
    equal: bool = True
    aligned: bool = True
    foreground: float = 0.5
    flip: bool = True
