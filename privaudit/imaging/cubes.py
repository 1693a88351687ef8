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


def pixelated(image: Tensor, side: int) -> Tensor:
    """Means of cubes of a volume [X, Y, Z], each spread over its cube; cubes at the far borders may be smaller."""
    means = torch.nn.functional.avg_pool3d(image[None, None], side, ceil_mode=True)[0, 0]
    return spread_over(means, side, image.shape)


def spread_over(means: Tensor, side: int, shape: Sequence[int]) -> Tensor:
    """One value [x, y, z] for each cube, as a volume of this shape."""
    for axis, length in enumerate(shape):
        means = means.repeat_interleave(side, dim=axis).narrow(axis, 0, length)
    return means


def scrambled(image: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Cubes of a volume change places, are turned or mirrored, and half of them inverted; cut-off ones become 0."""
    blocks = to_blocks(image, side)
    count = len(blocks)
    ways = symmetries(side)
    blocks = blocks[torch.randperm(count, generator=generator)]
    blocks = blocks.gather(1, ways[torch.randint(len(ways), (count,), generator=generator)])
    negative = torch.rand((count, 1), generator=generator) < 0.5
    return from_blocks(torch.where(negative, 1 - blocks, blocks), side, image.shape)


def scrambled_maps(maps: Tensor, side: int, generator: torch.Generator, back: bool) -> Tensor:
    """Maps [C, X, Y, Z] of a scrambled image, whose cubes moved as :func:`scrambled` moves them; or back in place."""
    blocks = torch.stack([to_blocks(one, side) for one in maps])
    count, ways = blocks.shape[1], symmetries(side)
    order = torch.randperm(count, generator=generator)
    turns = ways[torch.randint(len(ways), (count,), generator=generator)].expand(len(maps), -1, -1)
    if back:
        there = torch.empty_like(blocks).scatter(2, turns, blocks)
        blocks = torch.empty_like(there)
        blocks[:, order] = there
    else:
        blocks = blocks[:, order].gather(2, turns)
    return torch.stack([from_blocks(one, side, maps.shape[1:]) for one in blocks])


def random_orthogonal(size: int, generator: torch.Generator) -> Tensor:
    """A random orthogonal matrix [size, size], uniform up to the signs of its columns."""
    square = torch.randn((size, size), generator=generator, dtype=torch.float64)
    q: Tensor = torch.linalg.qr(square).Q
    return q.float()


def random_signs(shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """float32 of this shape, each -1 or 1."""
    return 2.0 * torch.randint(2, shape, generator=generator).float() - 1
