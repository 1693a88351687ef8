"""Undoing a smooth secret deformation: encoded scans are registered to the atlas of the attacker's own people.

The deformation is the flow of a stationary velocity field (Arsigny et al., 2006), given by control points and found by
descent from coarse to fine on the squared difference to the atlas in standard deviations among people, as in log-domain
registration (DARTEL; Ashburner, 2007), at half the resolution.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

import torch
from torch import Tensor

from privaudit.deformation import coarse_shape, integrate, resize, warp
from privaudit.knowledge import Atlas
from privaudit.patches import Shape

LEVELS: Final = ((6, 30), (10, 40))
"""Control points along each axis, and steps of descent, from coarse to fine."""
FLOOR: Final = 0.05
"""Standard deviation added to every voxel's: where nobody differs from anybody, noise would decide."""
STIFFNESS: Final = 0.01
"""Cost of a squared voxel of velocity."""
SCALE: Final = 0.02
"""Weighted mean squared difference to the atlas that costs 1."""
RATE: Final = 0.3
"""Step of Adam, in voxels of velocity."""
BRAIN: Final = 0.2
"""Grey value of the atlas from which a voxel is brain."""
KEPT: Final = 2**29
"""Bytes of registered scans that are held: protocols and attacks ask for the same ones."""

Reader = Callable[[], Tensor]
_HELD: OrderedDict[bytes, tuple[Tensor, float]] = OrderedDict()


class Registration:
    """Registers scans [X, Y, Z] to an atlas of that shape."""

    def __init__(self, atlas: Atlas) -> None:
        x, y, z = atlas.mean.shape
        self.shape: Shape = (x, y, z)
        self.half = coarse_shape(self.shape)
        self.quarter = coarse_shape(self.half)
        self.brain = atlas.mean > BRAIN
        self.mean = _resampled(atlas.mean, self.half)
        weight = 1 / (_resampled(atlas.variance, self.half) + FLOOR**2)
        self.weight = weight / weight.mean()
        self._digest = hashlib.sha256(atlas.mean.numpy().tobytes() + atlas.variance.numpy().tobytes()).digest()

    def register(self, scan: Tensor) -> tuple[Tensor, float]:
        """The scan in the atlas's shape, float32 [X, Y, Z], and by how many voxels brain moved (root mean square).

        What is left of a person is all but the coarse shape.
        """
        key = hashlib.sha256(self._digest + scan.contiguous().numpy().tobytes()).digest()
        found = _HELD.pop(key, None)
        if found is None:
            displacement = self.displacement(scan)
            moved = displacement.square().sum(dim=0)[self.brain].mean().sqrt()
            found = warp(scan[None], displacement)[0], float(moved)
        _HELD[key] = found
        while len(_HELD) > 1 and sum(held.nbytes for held, _ in _HELD.values()) > KEPT:
            _HELD.popitem(last=False)
        return found[0].clone(), found[1]

    def readers(self, scans: Sequence[Reader]) -> list[Reader]:
        """Scans that are registered when they are read."""

        def reader(scan: Reader) -> Reader:
            return lambda: self.register(scan())[0]

        return [reader(scan) for scan in scans]

    def prepare(self, scans: Sequence[Reader], advance: Callable[[float], None], total: int) -> None:
        """Register ahead of who reads, which takes seconds each, and move a bar of ``total`` there and back."""
        for scan in scans:
            self.register(scan())
            advance(0.9 * total / len(scans))
        advance(-0.9 * total)

    def displacement(self, scan: Tensor) -> Tensor:
        """[3, X, Y, Z] in voxels: where in the scan each voxel of the atlas is."""
        with torch.enable_grad():
            velocity = self._descend(_resampled(scan, self.half))
        return resize(resize(integrate(velocity), self.half), self.shape)

    def _descend(self, scan: Tensor) -> Tensor:
        points = torch.zeros(3, *(LEVELS[0][0],) * 3)
        for count, steps in LEVELS:
            points = _resampled(points, (count,) * 3).detach().requires_grad_()
            adam = torch.optim.Adam([points], lr=RATE)
            for _ in range(steps):
                velocity = _resampled(points, self.quarter)
                moved = warp(scan[None], resize(integrate(velocity), self.half))[0]
                cost = self._apart(moved) / SCALE + STIFFNESS * velocity.square().mean()
                adam.zero_grad()
                cost.backward()  # type: ignore[no-untyped-call]
                adam.step()
        return _resampled(points, self.quarter).detach()

    def _apart(self, scan: Tensor) -> Tensor:
        """Weighted mean squared difference to the atlas, at half the resolution."""
        return (self.weight * (scan - self.mean).square()).mean()


def _resampled(volume: Tensor, shape: Shape) -> Tensor:
    """A volume [X, Y, Z] or [C, X, Y, Z] on another grid of the same extent, its values as they are."""
    batch = volume.reshape(1, -1, *volume.shape[-3:])
    found = torch.nn.functional.interpolate(batch, size=shape, mode="trilinear", align_corners=True)[0]
    return found if volume.ndim == 4 else found[0]
