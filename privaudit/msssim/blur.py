"""Valid separable Gaussian smoothing of 3-D volumes, tile by tile, as products with small banded matrices.

A Gaussian along one axis of a block is a product with a banded Toeplitz matrix. A block of 32 outputs and a window of
9 waste three quarters of the multiplications on zeros, and are still several times faster than a direct convolution:
the product runs near the peak of the machine, and a tile stays in its cache through all three axes.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import torch
from torch import Tensor

from privaudit.msssim.lanes import lanes_allowed

Shape = tuple[int, int, int]

BLOCK: Final = (16, 64, 40)
"""The most outputs of one tile along X and Y, and of one product along Z; the fastest of those tried."""

CALL_VOXELS: Final = 2**18
"""Inputs of the images that are smoothed in one call, unless the tile of a single image has more."""

SHARED_VOXELS: Final = 2**17
"""Outputs from which on the work is shared out over threads."""


class Tile(NamedTuple):
    """A block of outputs of a range of images; ``number`` says which of the tiles along X and Y it is."""

    number: int
    images: slice
    x: slice
    y: slice
    z: slice

    @property
    def voxels(self) -> int:
        """Outputs of one image."""
        return math.prod(side.stop - side.start for side in (self.x, self.y, self.z))

    def inner(self, volumes: Tensor) -> Tensor:
        """Return the tile of smoothed ``[N, X', Y', Z']``, all N of them."""
        return volumes[:, self.x, self.y, self.z]

    def outer(self, volumes: Tensor, window: int) -> Tensor:
        """Return what the tile needs of ``[N, X, Y, Z]``, all N of them."""
        x, y, z = (slice(side.start, side.stop + window - 1) for side in (self.x, self.y, self.z))
        return volumes[:, x, y, z]


class Lane(NamedTuple):
    """The flat buffers that one thread at a time may use."""

    even: Tensor
    odd: Tensor
    slots: list[Tensor]

    def scratch(self, like: Tensor) -> Tensor:
        """Return a buffer of the shape of one tile's result, good until the lane's next use."""
        return _view(self.even, *like.shape)


def gaussian_taps(window: int, sigma: float) -> Tensor:
    """Return the ``window`` float32 taps exactly as pytorch-msssim computes them (their sum is 1 to round-off)."""
    offsets = torch.arange(window, dtype=torch.float32) - window // 2
    taps = torch.exp(-(offsets**2) / (2 * sigma**2))
    return taps / taps.sum()


def valid_shape(shape: Shape, window: int) -> Shape:
    """Return the shape that a valid convolution leaves of ``shape``."""
    return shape[0] - window + 1, shape[1] - window + 1, shape[2] - window + 1


class Layout(NamedTuple):
    """How a batch is cut into tiles; the same whatever the number of threads.

    Attributes:
        shape: of an image, in voxels.
        outputs: of an image, smoothed.
        sides: the most outputs per tile along X and Y and per product along Z: at most ``BLOCK``, as even as can be.
        images: the most images of which a tile is smoothed at once.
        lanes: the threads over which to share out the tiles, as far as torch allows them now; 1 for a small batch.
    """

    shape: Shape
    outputs: Shape
    sides: Shape
    images: int
    lanes: int

    @classmethod
    def of(cls, shape: Shape, window: int, batch: int) -> Layout:
        """Lay out ``batch`` images."""
        outputs = valid_shape(shape, window)
        x, y, z = (math.ceil(n / math.ceil(n / most)) for n, most in zip(outputs, BLOCK, strict=True))
        images = max(1, min(batch, CALL_VOXELS // ((x + window - 1) * (y + window - 1) * shape[2])))
        tiles = math.ceil(batch / images) * math.ceil(outputs[0] / x) * math.ceil(outputs[1] / y)
        lanes = min(lanes_allowed(), tiles) if batch * math.prod(outputs) >= SHARED_VOXELS else 1
        return cls(shape, outputs, (x, y, z), images, lanes)

    @property
    def columns(self) -> int:
        """Tiles that cover one image."""
        return math.prod(math.ceil(n / side) for n, side in zip(self.outputs[:2], self.sides[:2], strict=True))

    @property
    def passing(self) -> int:
        """Elements that one lane needs for what passes between the axes."""
        reach = self.shape[0] - self.outputs[0]
        return self.images * (self.sides[0] + reach) * (self.sides[1] + reach) * self.shape[2]

    @property
    def result(self) -> int:
        """Elements that one lane needs for one result."""
        return self.images * self.sides[0] * self.sides[1] * self.outputs[2]

    def tiles(self, batch: int) -> list[Tile]:
        """Return the tiles that cover ``batch`` images once, each as long as the outputs are along Z."""
        (x, y, z), (side_x, side_y, _) = self.outputs, self.sides
        blocks = [
            (slice(start_x, min(start_x + side_x, x)), slice(start_y, min(start_y + side_y, y)), slice(0, z))
            for start_x in range(0, x, side_x)
            for start_y in range(0, y, side_y)
        ]
        return [
            Tile(number, slice(start, min(start + self.images, batch)), *block)
            for start in range(0, batch, self.images)
            for number, block in enumerate(blocks)
        ]


def buffer_elements(shape: Shape, window: int, batch: int, slots: int) -> int:
    """Return how many elements a ``Blur`` of these arguments holds in its buffers, on a CPU."""
    layout = Layout.of(shape, window, batch)
    return layout.lanes * (2 * layout.passing + slots * layout.result)


class Blur:
    """Smooths images of one shape; holds the matrices, and buffers for each of its lanes.

    Args:
        shape: the images' sides in voxels, each at least ``window``.
        window: taps per axis, odd.
        sigma: of the Gaussian, in voxels.
        batch: for how many images the buffers are laid out.
        slots: how many results are kept apart, in each lane.
        like: gives dtype and device.
    """

    def __init__(self, shape: Shape, window: int, sigma: float, batch: int, slots: int, like: Tensor) -> None:
        self.window = window
        self.layout = Layout.of(shape, window, batch)
        taps = gaussian_taps(window, sigma).to(like)
        self._bands = [_band(side, taps) for side in self.layout.sides]
        self._last = self._bands[2].T.contiguous()
        self.lanes = [
            Lane(
                like.new_empty(self.layout.passing),
                like.new_empty(self.layout.passing),
                [like.new_empty(self.layout.result) for _ in range(slots)],
            )
            for _ in range(self.layout.lanes if like.device.type == "cpu" else 1)
        ]

    @property
    def nbytes(self) -> int:
        """Bytes held in buffers."""
        return sum(buffer.nbytes for lane in self.lanes for buffer in (lane.even, lane.odd, *lane.slots))

    def __call__(self, lane: Lane, tile: Tile, image: Tensor, other: Tensor | None = None, *, slot: int = 0) -> Tensor:
        """Smooth one tile of ``image``, or of ``image * other``, both ``[N or 1, X, Y, Z]``.

        Returns:
            ``[N, x, y, z]``, in a buffer that the next call with the same ``lane`` and ``slot`` overwrites.
        """
        first = tile.outer(image, self.window)
        second = None if other is None else tile.outer(other, self.window)
        n = max(len(first), 1 if second is None else len(second))
        _, in_x, in_y, in_z = first.shape
        x, y, z = (side - self.window + 1 for side in (in_x, in_y, in_z))
        source = _view(lane.even, n, in_x, in_y, in_z)
        if second is None:
            source.copy_(first)
        else:
            torch.mul(first, second, out=source)

        along_x = _view(lane.odd, n, x, in_y * in_z)
        _multiply(self._bands[0][:x, :in_x], source.view(n, in_x, in_y * in_z), along_x)
        along_y = _view(lane.even, n * x, y, in_z)
        _multiply(self._bands[1][:y, :in_y], along_x.view(n * x, in_y, in_z), along_y)
        result, rows = _view(lane.slots[slot], n * x * y, z), along_y.view(n * x * y, in_z)
        step = math.ceil(z / math.ceil(z / self.layout.sides[2]))
        for start in range(0, z, step):
            side = min(step, z - start)
            reach = side + self.window - 1
            torch.mm(rows[:, start : start + reach], self._last[:reach, :side], out=result[:, start : start + side])
        return result.view(n, x, y, z)


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
