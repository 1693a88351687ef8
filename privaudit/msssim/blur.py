"""Valid separable Gaussian smoothing of 3-D volumes, tile by tile, as products with small banded matrices.

A Gaussian along one axis of a block is a product with a banded Toeplitz matrix. A block of 32 outputs and a window of
9 waste three quarters of the multiplications on zeros, and are still several times faster than a direct convolution:
the product runs near the peak of the machine, and a tile stays in its cache through all three axes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

import torch
from torch import Tensor

Shape = tuple[int, int, int]

BLOCK: Final = (24, 96, 40)
"""The most outputs of one tile along X and Y, and of one product along Z; the fastest of those tried."""


class Tile(NamedTuple):
    """One block of outputs and the block of inputs that it needs, as indices into ``[N, X, Y, Z]``."""

    inner: tuple[slice, slice, slice]
    outer: tuple[slice, slice, slice]


def gaussian_taps(window: int, sigma: float) -> Tensor:
    """Return the ``window`` float32 taps exactly as pytorch-msssim computes them (their sum is 1 to round-off)."""
    offsets = torch.arange(window, dtype=torch.float32) - window // 2
    taps = torch.exp(-(offsets**2) / (2 * sigma**2))
    return taps / taps.sum()


def tile_sides(shape: Shape, window: int) -> Shape:
    """Return the outputs per tile along each axis: at most ``BLOCK``, and as even as can be."""
    x, y, z = (math.ceil(n / math.ceil(n / most)) for n, most in zip(valid_shape(shape, window), BLOCK, strict=True))
    return x, y, z


def valid_shape(shape: Shape, window: int) -> Shape:
    """Return the shape that a valid convolution leaves of ``shape``."""
    return shape[0] - window + 1, shape[1] - window + 1, shape[2] - window + 1


def buffer_elements(shape: Shape, window: int, batch: int, slots: int) -> int:
    """Return how many elements a ``Blur`` of these arguments holds in its buffers."""
    x, y, _ = tile_sides(shape, window)
    return batch * (2 * (x + window - 1) * (y + window - 1) * shape[2] + slots * x * y * (shape[2] - window + 1))


class Blur:
    """Smooths images of one shape; holds the matrices and the buffers, so it serves one thread at a time.

    Args:
        shape: the images' sides in voxels, each at least ``window``.
        window: taps per axis, odd.
        sigma: of the Gaussian, in voxels.
        batch: the most images smoothed in one call.
        slots: how many results are kept apart.
        like: gives dtype and device.
    """

    def __init__(self, shape: Shape, window: int, sigma: float, batch: int, slots: int, like: Tensor) -> None:
        self.shape, self.window, self.batch = shape, window, batch
        self.out_shape = valid_shape(shape, window)
        self._sides = tile_sides(shape, window)
        taps = gaussian_taps(window, sigma).to(like)
        self._bands = [_band(side, taps) for side in self._sides]
        self._last = self._bands[2].T.contiguous()
        x, y, _ = self._sides
        rows = batch * (x + window - 1) * (y + window - 1)
        self._even, self._odd = (like.new_empty(rows * shape[2]) for _ in range(2))
        self._slots = [like.new_empty(batch * x * y * self.out_shape[2]) for _ in range(slots)]

    @property
    def outputs(self) -> int:
        """Voxels of one smoothed image."""
        return math.prod(self.out_shape)

    @property
    def nbytes(self) -> int:
        """Bytes held in buffers."""
        return sum(buffer.nbytes for buffer in (self._even, self._odd, *self._slots))

    def tiles(self) -> Iterator[Tile]:
        """Yield the tiles that cover the output once."""
        reach, every = self.window - 1, slice(None)
        for x in range(0, self.out_shape[0], self._sides[0]):
            end_x = min(x + self._sides[0], self.out_shape[0])
            for y in range(0, self.out_shape[1], self._sides[1]):
                end_y = min(y + self._sides[1], self.out_shape[1])
                inner = (every, slice(x, end_x), slice(y, end_y))
                yield Tile(inner, (every, slice(x, end_x + reach), slice(y, end_y + reach)))

    def __call__(self, tile: Tile, image: Tensor, other: Tensor | None = None, *, slot: int = 0) -> Tensor:
        """Smooth one tile of ``image``, or of ``image * other``, both ``[N or 1, X, Y, Z]``.

        Returns:
            ``[N, x, y, Z - window + 1]``, in a buffer that the next call with the same ``slot`` overwrites.
        """
        first = image[tile.outer]
        second = None if other is None else other[tile.outer]
        n = max(len(first), 1 if second is None else len(second))
        _, in_x, in_y, in_z = first.shape
        x, y, z = in_x - self.window + 1, in_y - self.window + 1, self.out_shape[2]
        source = _view(self._even, n, in_x, in_y, in_z)
        if second is None:
            source.copy_(first)
        else:
            torch.mul(first, second, out=source)

        along_x = _view(self._odd, n, x, in_y * in_z)
        _multiply(self._bands[0][:x, :in_x], source.view(n, in_x, in_y * in_z), along_x)
        along_y = _view(self._even, n * x, y, in_z)
        _multiply(self._bands[1][:y, :in_y], along_x.view(n * x, in_y, in_z), along_y)
        result, rows = _view(self._slots[slot], n * x * y, z), along_y.view(n * x * y, in_z)
        for start in range(0, z, self._sides[2]):
            side = min(self._sides[2], z - start)
            reach = side + self.window - 1
            torch.mm(rows[:, start : start + reach], self._last[:reach, :side], out=result[:, start : start + side])
        return result.view(n, x, y, z)

    def scratch(self, like: Tensor) -> Tensor:
        """Return a buffer of the shape of one tile's result, good until the next call."""
        return _view(self._even, *like.shape)


def _band(side: int, taps: Tensor) -> Tensor:
    """Return the ``[side, side + window - 1]`` matrix whose row i holds the taps from column i on."""
    band = taps.new_zeros(side, side + len(taps) - 1)
    for row in range(side):
        band[row, row : row + len(taps)] = taps
    return band


def _view(buffer: Tensor, *shape: int) -> Tensor:
    """Return the front of a flat buffer in this shape."""
    return buffer[: math.prod(shape)].view(shape)


def _multiply(band: Tensor, blocks: Tensor, out: Tensor) -> None:
    """Write ``band @ block`` for every block; one plain product where there is one block (it threads better)."""
    if len(blocks) == 1:
        torch.mm(band, blocks[0], out=out[0])
    else:
        torch.bmm(band.expand(len(blocks), -1, -1), blocks, out=out)
