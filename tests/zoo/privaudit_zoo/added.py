"""Broken: the image as it is, and something fresh on top."""

from __future__ import annotations

from typing import ClassVar, Final

import torch
from torch import Tensor

from privaudit_zoo.base import ZooDefense, ZooKey

BIAS: Final = 0.5
"""Standard deviation of the smooth field at its control points."""
POINTS: Final = 4
"""Control points of the smooth field along each axis."""


class NoiseDefense(ZooDefense):
    """White Gaussian noise on the image; the subclasses say how much.

    Broken: Kargupta, Datta, Wang and Sivakumar, "On the privacy preserving properties of random data perturbation
    techniques", IEEE ICDM 2003: what many voxels share is told from noise that they do not.
    """

    deviation: ClassVar[float]

    def hide(self, image: Tensor, key: ZooKey) -> Tensor:
        """Add the noise; values are not clipped."""
        return image + self.deviation * torch.randn(image.shape, generator=key.generator())


class Noise10Defense(NoiseDefense):
    """Noise with a standard deviation of .1."""

    name = "zoo-noise-10"
    summary = "zoo, broken: fresh Gaussian noise of .1 on the image"
    deviation = 0.1


class Noise30Defense(NoiseDefense):
    """Noise with a standard deviation of .3, more than the spread of a brain's intensities."""

    name = "zoo-noise-30"
    summary = "zoo, broken: fresh Gaussian noise of .3 on the image"
    deviation = 0.3


class Noise50Defense(NoiseDefense):
    """Noise with a standard deviation of .5."""

    name = "zoo-noise-50"
    summary = "zoo, broken: fresh Gaussian noise of .5 on the image"
    deviation = 0.5


class HalfNoiseDefense(ZooDefense):
    """Half of the image and half of uniform noise. Broken: as any noise of .14 on half of the contrast."""

    name = "zoo-half-noise"
    summary = "zoo, broken: half of the image in fresh uniform noise"

    def hide(self, image: Tensor, key: ZooKey) -> Tensor:
        """The mean of image and noise."""
        return 0.5 * image + 0.5 * torch.rand(image.shape, generator=key.generator())


class BiasDefense(ZooDefense):
    """A fresh smooth random field is added: 4³ control points with a standard deviation of .5, linear between them.

    Broken: what is smooth is filtered away, as bias fields are. Tustison et al., "N4ITK: improved N3 bias correction",
    IEEE TMI 2010.
    """

    name = "zoo-bias"
    summary = "zoo, broken: a fresh smooth random field on the image"

    def hide(self, image: Tensor, key: ZooKey) -> Tensor:
        """Add the field."""
        points = BIAS * torch.randn((1, 1, POINTS, POINTS, POINTS), generator=key.generator())
        shape = [int(side) for side in image.shape]
        field: Tensor = torch.nn.functional.interpolate(points, shape, mode="trilinear", align_corners=True)
        return image + field[0, 0]


class FloatPadDefense(ZooDefense):
    """The image plus a fresh uniform number for each voxel, modulo 1, all in float32: ``zoo-one-time-pad`` done badly.

    Broken: where the sum exceeds 1 its last binary digit is rounded away, the more often the brighter the voxel
    (Mironov, "On significance of the least significant bits for differential privacy", ACM CCS 2012).
    """

    name = "zoo-float-pad"
    summary = "zoo, broken: image plus fresh uniform noise, modulo 1, in float32"

    def hide(self, image: Tensor, key: ZooKey) -> Tensor:
        """The sum modulo 1."""
        return (image + torch.rand(image.shape, generator=key.generator())) % 1
