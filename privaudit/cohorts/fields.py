"""Smooth random fields and diffeomorphic warps, in millimetres, free of any voxel grid.

A field lives on a coarse lattice and can be read anywhere, so that one virtual person is the same at every voxel size.
Points and displacements are arrays ``[3, ...]`` in millimetres.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Triple = tuple[float, float, float]

SPLINE_GAIN: Final = 0.479**1.5
"""Standard deviation of a cubic B-spline with white unit coefficients: the mean over x of sum_i B3(x - i)^2, cubed."""


def generator(*parts: object) -> np.random.Generator:
    """Return a random generator that depends on nothing but ``parts``: the same on every machine and in any order."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "big")))


@dataclass(frozen=True)
class Lattice:
    """Points at equal distances along x, y and z.

    Attributes:
        origin: position of point (0, 0, 0), in millimetres.
        spacing: millimetres between neighbours.
        shape: how many points along each axis.
    """

    origin: Triple
    spacing: float
    shape: tuple[int, int, int]

    @property
    def box(self) -> Box:
        """The block of space between the outermost points."""
        x, y, z = (start + (n - 1) * self.spacing for start, n in zip(self.origin, self.shape, strict=True))
        return Box(self.origin, (x, y, z))

    def points(self) -> Floats:
        """Positions, ``[3, I, J, K]`` in millimetres."""
        index = np.indices(self.shape, dtype=np.float32)
        return np.asarray(self.origin, np.float32)[:, None, None, None] + np.float32(self.spacing) * index


@dataclass(frozen=True)
class Box:
    """A block of space, from corner ``low`` to corner ``high``, in millimetres."""

    low: Triple
    high: Triple

    @property
    def centre(self) -> Floats:
        """Its middle, ``[3]``."""
        return (np.add(self.low, self.high) / 2).astype(np.float32)

    def lattice(self, spacing: float, margin: float = 0) -> Lattice:
        """Return a lattice that covers the box and ``margin`` millimetres beyond it."""
        x, y, z = (low - margin for low in self.low)
        i, j, k = (
            int(np.ceil((high - low + 2 * margin) / spacing)) + 1 for low, high in zip(self.low, self.high, strict=True)
        )
        return Lattice((x, y, z), spacing, (i, j, k))


@dataclass(frozen=True)
class Field:
    """Values on a lattice, read in between by linear interpolation (order 1) or as a cubic B-spline (order 3).

    Outside the lattice the nearest node counts.

    Attributes:
        values: float32 ``[C, I, J, K]``: node values at order 1, spline coefficients at order 3.
        nodes: where they are.
        order: 1 or 3.
    """

    values: Floats
    nodes: Lattice
    order: int = 1

    @cached_property
    def _nodes_last(self) -> Floats:
        from privaudit.cohorts.reading_fields import channels_last

        return channels_last(self.values)

    def at(self, points: Floats) -> Floats:
        """Return the field ``[C, ...]`` at any ``points`` ``[3, ...]``."""
        from privaudit.cohorts.reading_fields import read_between  # the compiler takes a while to import

        origin = np.reshape(np.asarray(self.nodes.origin, np.float32), (3,) + (1,) * (points.ndim - 1))
        where = (points - origin) / np.float32(self.nodes.spacing)
        return read_between(self._nodes_last, where.reshape(3, -1), self.order).reshape(-1, *points.shape[1:])

    def on(self, lattice: Lattice) -> Floats:
        """Return the field ``[C, X, Y, Z]`` at the points of a lattice: as :meth:`at`, but axis by axis and faster."""
        values = self.values
        for axis in range(3):
            steps = np.arange(lattice.shape[axis]) * lattice.spacing + lattice.origin[axis]
            where = (steps - self.nodes.origin[axis]) / self.nodes.spacing
            where = np.clip(where, 0, values.shape[axis + 1] - 1)
            first = np.floor(where).astype(int) - self.order // 2
            total = np.zeros((*values.shape[: axis + 1], len(where), *values.shape[axis + 2 :]), np.float32)
            for tap in range(self.order + 1):
                node = np.clip(first + tap, 0, values.shape[axis + 1] - 1)
                weight = _kernel(self.order, where - (first + tap)).astype(np.float32)
                total += values.take(node, axis + 1) * weight.reshape(-1, *[1] * (2 - axis))
            values = total
        return values


def _kernel(order: int, distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the B-spline of order 1 or 3 at ``distance`` from its middle, in node distances."""
    d = np.abs(distance)
    if order == 1:
        return np.asarray(np.clip(1 - d, 0, None))
    return np.asarray(np.where(d < 1, 2 / 3 - d**2 + d**3 / 2, np.clip(2 - d, 0, None) ** 3 / 6))


def random_field(rng: np.random.Generator, box: Box, knots_mm: float, amplitudes: Sequence[float]) -> Field:
    """Draw independent smooth Gaussian fields over ``box``, one channel for each amplitude (standard deviation).

    ``knots_mm`` is the distance of the spline's knots: what lies more than about twice that apart is independent.
    """
    nodes = box.lattice(knots_mm, margin=2 * knots_mm)
    white = rng.standard_normal((len(amplitudes), *nodes.shape), dtype=np.float32)
    scale = np.asarray(amplitudes, np.float32) / np.float32(SPLINE_GAIN)
    return Field(white * scale[:, None, None, None], nodes, order=3)


def exponential(velocity: Field, squarings: int = 6) -> Field:
    """Integrate a stationary velocity field over unit time by scaling and squaring.

    Arsigny et al., "A log-Euclidean framework for statistics on diffeomorphisms" (MICCAI 2006).

    Args:
        velocity: three channels of order 1, in millimetres.
        squarings: the field is halved, and the result composed with itself, this many times.

    Returns:
        The displacement ``u`` of the diffeomorphism ``x -> x + u(x)``, on the same lattice.
    """
    points = velocity.nodes.points()
    moved = velocity.values / np.float32(2**squarings)
    for _ in range(squarings):
        moved = moved + Field(moved, velocity.nodes).at(points + moved)
    return Field(moved, velocity.nodes)


def jacobian(displacement: Field) -> NDArray[np.float64]:
    """Return the Jacobian determinant ``[I, J, K]`` of ``x -> x + u(x)`` at the nodes; positive where it is no fold."""
    u = displacement.values.astype(np.float64)
    gradient = np.stack([np.stack(np.gradient(channel, displacement.nodes.spacing)) for channel in u])
    matrix = np.moveaxis(gradient, (0, 1), (-2, -1)) + np.eye(3)
    return np.asarray(np.linalg.det(matrix))


def rotation(degrees: Sequence[float] | NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation matrix ``[3, 3]`` about x, then y, then z."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        i, j = (axis + 1) % 3, (axis + 2) % 3
        turn = np.eye(3)
        turn[i, i] = turn[j, j] = np.cos(angle)
        turn[j, i], turn[i, j] = np.sin(angle), -np.sin(angle)
        matrix = turn @ matrix
    return matrix


def transform(matrix: NDArray[np.float64], points: Floats) -> Floats:
    """Apply a matrix ``[3, 3]`` to ``points`` ``[3, ...]`` (written out: BLAS may sum in another order per machine)."""
    m, (x, y, z) = matrix.astype(np.float32), points
    return np.stack([row[0] * x + row[1] * y + row[2] * z for row in m])
