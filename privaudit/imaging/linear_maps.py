"""Linear maps that few probes tell: of every voxel alone, and filters of the whole image; and how they are undone.

All are maps of changes of a base image. They are undone with a Gaussian prior: the change is 0 on average, and each
voxel's variance is that of the attacker's atlas (Wiener, "Extrapolation, interpolation, and smoothing of stationary
time series", 1949).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from privaudit.imaging.probing import STEP, Floats, Send, inward, positions


class LinearMap(Protocol):
    """From a change of an image to a change of what is sent, and back."""

    def of(self, change: Floats) -> Floats:
        """What is sent of a change [X, Y, Z] of the image, [m]."""

    def back(self, sent: Floats, variance: Floats, noise: float) -> Floats:
        """The likeliest change [X, Y, Z] behind what was sent, [m].

        Args:
            sent: its change.
            variance: of each voxel, [X, Y, Z], all positive.
            noise: variance of what is sent and the map does not explain.
        """


@dataclass(frozen=True, eq=False)
class VoxelMap:
    """Every number that is sent is one voxel times a factor: signs, contrasts, any exchange of voxels.

    Attributes:
        where: flat index of the voxel, int64 [m]; -1 for a number that depends on none.
        factor: of it, [m].
    """

    where: NDArray[np.int64]
    factor: Floats

    @classmethod
    def fit(cls, send: Send, base: Floats) -> VoxelMap:
        """Fit it around a base image, by :func:`~privaudit.imaging.probing.positions`."""
        step = STEP * inward(base)
        where, change = positions(send, base, base + step)
        return cls(where, np.where(where < 0, 0, change / step.ravel()[where]))

    def of(self, change: Floats) -> Floats:
        """Factor times voxel."""
        return np.asarray(self.factor * change.ravel()[self.where])

    def back(self, sent: Floats, variance: Floats, noise: float) -> Floats:
        """Each voxel on its own, from all numbers that depend on it."""
        known = self.where >= 0
        where, factor = self.where[known], self.factor[known]
        told = np.bincount(where, factor * sent[known], variance.size)
        weight = np.bincount(where, factor**2, variance.size)
        return np.asarray(told / (weight + noise / variance.ravel())).reshape(variance.shape)


@dataclass(frozen=True, eq=False)
class FilterMap:
    """Convolutions around the volume's ends: one for each channel that is sent.

    Attributes:
        spectra: complex [C, X, Y, Z // 2 + 1], of the kernels.
    """

    spectra: NDArray[np.complex128]

    @classmethod
    def fit(cls, send: Send, base: Floats, nothing: Floats) -> FilterMap | None:
        """Fit it from one voxel that is changed; None where what is sent is no whole number of images.

        Args:
            send: the encoder.
            base: the image around which it is probed.
            nothing: what is sent of it.
        """
        if nothing.size % base.size or not nothing.size:
            return None
        probe = base.copy()
        step = STEP * float(inward(base)[0, 0, 0])
        probe[0, 0, 0] += step
        return cls(_spectra((send(probe) - nothing) / step, base.shape))

    def of(self, change: Floats) -> Floats:
        """Multiply the spectra."""
        found = fft.irfftn(self.spectra * fft.rfftn(change), s=change.shape, axes=(1, 2, 3))
        return np.asarray(found).ravel()

    def back(self, sent: Floats, variance: Floats, noise: float) -> Floats:
        """Divide the spectra, with the mean variance of all voxels for each frequency's."""
        told = (self.spectra.conj() * _spectra(sent, variance.shape)).sum(axis=0)
        weight = (np.abs(self.spectra) ** 2).sum(axis=0) + noise / float(variance.mean())
        return np.asarray(fft.irfftn(told / np.maximum(weight, 1e-300), s=variance.shape))


def _spectra(sent: Floats, shape: tuple[int, ...]) -> NDArray[np.complex128]:
    return np.asarray(fft.rfftn(sent.reshape(-1, *shape), axes=(1, 2, 3)))
