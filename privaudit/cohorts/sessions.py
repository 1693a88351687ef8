"""What differs between two scans of one person: pose, a little shape, and the scanner.

The phantom's sessions and the simulated rescans of real cohorts share this model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from privaudit.cohorts.fields import Box, Field, Floats, Lattice, random_field, rotation, transform
from privaudit.cohorts.grain import Grain, without_grain
from privaudit.contracts.cohort import Volume

SESSION_MODEL_VERSION: Final = 1
"""Raised whenever the same seed gives another session of a phantom."""

RESCAN_VERSION: Final = 2
"""Raised whenever the same scan and seed give another rescan. Since 2, a rescan has noise of its own."""


@dataclass(frozen=True)
class SessionModel:
    """How much sessions differ. Each amount is a standard deviation over sessions.

    Attributes:
        degrees: rotation about each axis; cut off at 2 degrees.
        shift_mm: translation along each axis; cut off at 2 mm.
        warp_mm: leftover distortion (hydration, gradients), with knots ``warp_knots_mm`` apart.
        bias: logarithm of the multiplicative field that bias correction left, with knots ``bias_knots_mm`` apart.
        gamma: logarithm of the exponent of the grey-scale.
        gain: logarithm of the factor on all intensities.
        noise: Rician noise, drawn per session between a half and one and a half of this, in intensity units; simulated
            rescans take the level of their original.
    """

    degrees: float = 0.5
    shift_mm: float = 0.5
    warp_mm: float = 0.25
    warp_knots_mm: float = 25.0
    bias: float = 0.025
    bias_knots_mm: float = 50.0
    gamma: float = 0.04
    gain: float = 0.02
    noise: float = 0.012


@dataclass(frozen=True)
class Session:
    """One drawn session; ``pull_back`` and ``scan`` apply it."""

    matrix: NDArray[np.float64]
    centre: Floats
    shift: Floats
    warp: Field
    bias: Field
    gamma: float
    gain: float
    noise: float
    rng: np.random.Generator

    def pull_back(self, grid: Lattice) -> Floats:
        """Return where in the person the points of the image's grid lie, ``[3, X, Y, Z]`` mm."""
        centre = self.centre.reshape(3, 1, 1, 1)
        moved = transform(self.matrix, grid.points() - centre)
        moved += centre + self.shift.reshape(3, 1, 1, 1)
        moved += self.warp.on(grid)
        return moved

    def scan(self, intensity: Floats, grid: Lattice, inside: NDArray[np.bool_], grain: Grain | None = None) -> Floats:
        """Return what the scanner makes of the intensities ``[N]``, in [0, 1], of the voxels ``inside``.

        Noise is white, or as ``grain`` tells.
        """
        seen = np.clip(intensity, 0, 1) ** np.float32(self.gamma)
        seen *= np.exp(self.bias.on(grid)[0][inside]) * np.float32(self.gain)
        if grain is None:
            noise = self.rng.standard_normal((2, *seen.shape), dtype=np.float32) * np.float32(self.noise)
        else:
            noise = np.stack([grain.draw(self.rng, grid.shape)[inside] for _ in range(2)])
        return np.asarray(np.clip(np.hypot(seen + noise[0], noise[1]), 0, 1))


def draw_session(rng: np.random.Generator, box: Box, model: SessionModel | None = None) -> Session:
    """Draw a session over ``box``; ``rng`` is kept for the noise."""
    m = SessionModel() if model is None else model
    return Session(
        matrix=rotation(np.clip(rng.normal(0, m.degrees, 3), -2, 2)),
        centre=box.centre,
        shift=np.clip(rng.normal(0, m.shift_mm, 3), -2, 2).astype(np.float32),
        warp=random_field(rng, box, m.warp_knots_mm, [m.warp_mm] * 3),
        bias=random_field(rng, box, m.bias_knots_mm, [m.bias]),
        gamma=float(np.exp(rng.normal(0, m.gamma))),
        gain=float(np.exp(rng.normal(0, m.gain))),
        noise=m.noise * rng.uniform(0.5, 1.5),
        rng=rng,
    )


def rescan(volume: Volume, rng: np.random.Generator, model: SessionModel | None = None) -> Volume:
    """Simulate another session of a scanned person, on the same grid.

    Image by cubic, labels by class-wise linear interpolation. The noise is taken out of the image before, and drawn
    anew, as strong and as smooth as it was: a resampled copy of it would name the person. Where the image is exactly 0,
    as outside a stripped skull, it stays 0 and gets no noise: noise there would tell the rescan from the original at a
    glance.

    Args:
        volume: the scan, of cubic voxels along the world's axes.
        rng: decides everything drawn.
        model: amounts; the defaults if None.
    """
    x, y, z = volume.image.shape
    i, j, k = (float(value) for value in volume.affine[:3, 3])
    grid = Lattice((i, j, k), float(volume.affine[0, 0]), (x, y, z))
    session = draw_session(rng, grid.box, model)
    where = session.pull_back(grid)
    where -= np.array(grid.origin, np.float32).reshape(3, 1, 1, 1)
    where /= np.float32(grid.spacing)

    def linear(mask: NDArray[np.bool_], at: Floats) -> Floats:
        return np.asarray(ndimage.map_coordinates(mask.astype(np.float32), at, np.float32, order=1))

    inside = linear(volume.image > 0, where) > 0.5
    where = where[:, inside]
    smooth, grain = without_grain(volume.image, grid.spacing)
    pulled = ndimage.map_coordinates(smooth, where, np.float32, order=3, mode="nearest")
    image, labels = np.zeros_like(volume.image), np.zeros_like(volume.labels)
    image[inside] = session.scan(pulled, grid, inside, grain)
    values = np.unique(volume.labels)
    shares = [linear(volume.labels == value, where) for value in values[1:]]
    labels[inside] = values[np.argmax([1 - np.sum(shares, axis=0), *shares], axis=0)]
    return Volume(image, labels, volume.affine)
