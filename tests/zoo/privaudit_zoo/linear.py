"""Broken: linear maps, with one key for every scan, or with fresh keys that leave more than they seem to."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import torch
from torch import Tensor

from privaudit.imaging.cubes import from_blocks, random_orthogonal, to_blocks
from privaudit.imaging.patches import Shape
from privaudit_zoo.base import ZooDefense, ZooKey

BLOCK: Final = 8
"""Side in voxels of the cubes that are rotated as vectors."""
KERNEL: Final = 5
"""Side in voxels of the random kernel."""


class OrthogonalDefense(ZooDefense):
    """Each cube of 8³ voxels, as a vector, is multiplied by one random orthogonal matrix.

    Chen and Liu, "Privacy preserving data classification with rotation perturbation", IEEE ICDM 2005. Broken: Liu,
    Giannella and Kargupta, "An attacker's view of distance preserving maps for privacy preserving data mining", PKDD
    2006. Distances between cubes are those of the image, and the transposed matrix undoes it.
    """

    name = "zoo-orthogonal"
    summary = "zoo, broken: one random orthogonal map of all cubes, always with the same key"
    keyed = False

    def hide(self, image: Tensor, key: ZooKey) -> Tensor:
        """Map every cube; cubes cut off at the far border are not sent."""
        return from_blocks(to_blocks(image, BLOCK) @ orthogonal(key.seed), BLOCK, image.shape)


@lru_cache(maxsize=2)
def orthogonal(seed: int) -> Tensor:
    """A random orthogonal matrix [512, 512], uniform up to the signs of its columns."""
    return random_orthogonal(BLOCK**3, ZooKey(seed).generator())


class ConvolutionDefense(ZooDefense):
    """Convolution with one random kernel of 5³ voxels and norm 1, around the volume's ends.

    Broken: a kernel that is known is divided out in the spectrum (Wiener, "Extrapolation, interpolation, and
    smoothing of stationary time series", 1949), and one that is not is estimated (Kundur and Hatzinakos, "Blind image
    deconvolution", IEEE Signal Processing Magazine 1996).
    """

    name = "zoo-convolution"
    summary = "zoo, broken: convolution with a random kernel, always the same"
    keyed = False

    def hide(self, image: Tensor, key: ZooKey) -> Tensor:
        """Multiply the spectra."""
        x, y, z = image.shape
        spectrum = torch.fft.rfftn(image) * kernel_spectrum(key.seed, (x, y, z))
        filtered: Tensor = torch.fft.irfftn(spectrum, s=(x, y, z))
        return filtered


@lru_cache(maxsize=2)
def kernel_spectrum(seed: int, shape: Shape) -> Tensor:
    """Spectrum complex64 [X, Y, Z // 2 + 1] of the kernel, which stands at the volume's origin."""
    kernel = torch.randn((KERNEL,) * 3, generator=ZooKey(seed).generator())
    spectrum: Tensor = torch.fft.rfftn(kernel / kernel.norm(), s=shape)
    return spectrum


class RotationsDefense(ZooDefense):
    """The volume is multiplied by a fresh random orthogonal matrix along each of its three axes.

    Rotation perturbation (Chen and Liu, IEEE ICDM 2005) of every axis. Broken: singular values of the unfolded volume
    are those of the image (De Lathauwer, De Moor and Vandewalle, "A multilinear singular value decomposition", SIAM
    Journal on Matrix Analysis and Applications 2000).
    """

    name = "zoo-rotations"
    summary = "zoo, broken: a fresh random orthogonal map along each axis"

    def hide(self, image: Tensor, key: ZooKey) -> Tensor:
        """Multiply along each axis."""
        generator = key.generator()
        for axis, side in enumerate(image.shape):
            turn = random_orthogonal(side, generator)
            image = torch.tensordot(turn, image, dims=([1], [axis])).movedim(0, axis)
        return image
