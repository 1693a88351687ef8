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

import numpy as np
import torch
from torch import Tensor

from privaudit.imaging.atlas import Atlas
from privaudit.imaging.deformation import coarse_shape, integrate, resampled, resize, warp
from privaudit.imaging.patches import Shape

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
BRIGHT: Final = 0.99
"""Quantile of the atlas that is the unit of grey values."""
KEPT: Final = 1024
"""Velocity fields that are held, some 100 kB each: protocols ask for the same ones."""

Reader = Callable[[], Tensor]
_HELD: OrderedDict[bytes, Tensor] = OrderedDict()


class Registration:
    """Registers scans [X, Y, Z] to an atlas of that shape.

    Descent is in double precision: rounding, which depends on the number of threads, would grow to what shows.
    """

    def __init__(self, atlas: Atlas) -> None:
        x, y, z = atlas.mean.shape
        self.shape: Shape = (x, y, z)
        self.half = coarse_shape(self.shape)
        self.quarter = coarse_shape(self.half)
        self.unit = max(1e-6, float(np.quantile(atlas.mean.numpy(), BRIGHT)))
        self.mean = self._seen(atlas.mean)
        variance = resampled(atlas.variance.double(), self.half) / self.unit**2
        weight = 1 / (variance + FLOOR**2)
        self.weight = weight / weight.mean()
        self._digest = hashlib.sha256(atlas.mean.numpy().tobytes() + atlas.variance.numpy().tobytes()).digest()

    def register(self, scan: Tensor) -> Tensor:
        """The scan in the atlas's shape, float32 [X, Y, Z]: what is left of a person is all but the coarse shape."""
        displacement = resize(self._flow(self._velocity(scan)), self.shape)
        return warp(scan[None], displacement.float())[0]

    def residual(self, scan: Tensor) -> float:
        """How far a scan is from the atlas once it is registered: weighted mean squared difference."""
        return float(self._apart(warp(self._seen(scan)[None], self._flow(self._velocity(scan)))[0]))

    def readers(self, scans: Sequence[Reader]) -> list[Reader]:
        """Scans that are registered when they are read."""

        def reader(scan: Reader) -> Reader:
            return lambda: self.register(scan())

        return [reader(scan) for scan in scans]

    def prepare(self, scans: Sequence[Reader], advance: Callable[[float], None]) -> None:
        """Register ahead of who reads, which takes seconds each; ``advance`` gets shares of the work."""
        for scan in scans:
            self._velocity(scan())
            advance(1 / len(scans))

    def _velocity(self, scan: Tensor) -> Tensor:
        """[3, x, y, z] at a quarter of the resolution, in its voxels."""
        key = hashlib.sha256(self._digest + scan.contiguous().numpy().tobytes()).digest()
        found = _HELD.pop(key, None)
        if found is None:
            with torch.enable_grad():
                found = self._descend(self._seen(scan))
        _HELD[key] = found
        if len(_HELD) > KEPT:
            _HELD.popitem(last=False)
        return found

    def _descend(self, scan: Tensor) -> Tensor:
        points = torch.zeros(3, *(LEVELS[0][0],) * 3, dtype=torch.float64)
        for count, steps in LEVELS:
            points = resampled(points, (count,) * 3).detach().requires_grad_()
            adam = torch.optim.Adam([points], lr=RATE)
            for _ in range(steps):
                velocity = resampled(points, self.quarter)
                moved = warp(scan[None], self._flow(velocity))[0]
                cost = self._apart(moved) / SCALE + STIFFNESS * velocity.square().mean()
                adam.zero_grad()
                cost.backward()  # type: ignore[no-untyped-call]
                adam.step()
        return resampled(points, self.quarter).detach()

    def _flow(self, velocity: Tensor) -> Tensor:
        """The displacement at half the resolution."""
        return resize(integrate(velocity), self.half)

    def _seen(self, volume: Tensor) -> Tensor:
        """A scan at half the resolution, in the atlas's unit."""
        return resampled(volume.double(), self.half) / self.unit

    def _apart(self, scan: Tensor) -> Tensor:
        """Weighted mean squared difference to the atlas, at half the resolution."""
        return (self.weight * (scan - self.mean).square()).mean()
