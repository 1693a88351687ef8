"""Volumes cut into cubes and put together again, and the 48 ways to turn and mirror a cube."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import lru_cache

import torch
from einops import rearrange
from torch import Tensor

CUTS = "(x a) (y b) (z c) -> (x y z) (a b c)"


def to_blocks(image: Tensor, side: int) -> Tensor:
    """Cut [X, Y, Z] into cubes [N, side³]; what lies beyond the last whole cube of an axis is left out."""
    x, y, z = (length // side * side for length in image.shape)
    return rearrange(image[:x, :y, :z], CUTS, a=side, b=side, c=side)


def from_blocks(blocks: Tensor, side: int, shape: Sequence[int]) -> Tensor:
    """Put cubes [N, side³] together to a volume of this shape, 0 beyond the last whole cube.

    >>> image = torch.rand(4, 6, 5)
    >>> torch.equal(from_blocks(to_blocks(image, 2), 2, (4, 6, 5))[:, :, :4], image[:, :, :4])
    True
    """
    counts = [length // side for length in shape]
    x, y, z = (count * side for count in counts)
    whole = blocks.new_zeros(shape)
    left, right = CUTS.split(" -> ")
    whole[:x, :y, :z] = rearrange(
        blocks, f"{right} -> {left}", x=counts[0], y=counts[1], a=side, b=side, c=side
    )  # fmt: skip
    return whole


@lru_cache(maxsize=4)
def symmetries(side: int) -> Tensor:
    """Where each voxel of a turned or mirrored cube comes from: int64 [48, side³], each row a permutation."""
    places = torch.arange(side**3).reshape(side, side, side)
    turned = [
        places.permute(axes).flip([axis for axis, flip in enumerate(flips) if flip])
        for axes in itertools.permutations(range(3))
        for flips in itertools.product((False, True), repeat=3)
    ]
    return torch.stack([way.flatten() for way in turned])
