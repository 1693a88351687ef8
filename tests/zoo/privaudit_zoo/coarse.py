"""Broken, without a key: encoders that throw detail away and keep what tells people apart."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from privaudit.contracts.options import PluginOptions
from privaudit.imaging.cubes import pixelated
from privaudit_zoo.base import ZooDefense, ZooKey


class PixelateOptions(PluginOptions):
    """How coarse."""

    block: Annotated[int, Field(ge=2)] = Field(default=6, description="side of the averaged cubes in voxels")


class PixelateDefense(ZooDefense):
    """Each cube is replaced by its mean; cubes at the far borders may be smaller.

    Broken: Hill et al., "On the (in)effectiveness of mosaicing and blurring as tools for document redaction", PoPETs
    2016; McPherson et al., "Defeating image obfuscation with deep learning", 2016 (arXiv 1609.00408).
    """

    name = "zoo-pixelate"
    summary = "zoo, broken: cubes of 6 voxels averaged"
    keyed = False
    Options = PixelateOptions
    options: PixelateOptions

    def hide(self, image: Tensor, key: ZooKey) -> Tensor:
        """Means of cubes, each spread over its cube."""
        return pixelated(image, self.options.block)


class BinaryOptions(PluginOptions):
    """Where the two values meet."""

    threshold: Annotated[float, Field(gt=0, lt=1)] = Field(default=0.5, description="values above it become 1")


class BinaryDefense(ZooDefense):
    """Two values are left, 0 and 1.

    Broken: silhouettes identify. Daugman, "How iris recognition works", IEEE TCSVT 2004, tells millions of people apart
    by 2048 bits each; here every voxel gives one.
    """

    name = "zoo-binary"
    summary = "zoo, broken: 1 above a threshold, 0 below"
    keyed = False
    Options = BinaryOptions
    options: BinaryOptions

    def hide(self, image: Tensor, key: ZooKey) -> Tensor:
        """1 above the threshold, else 0."""
        return (image > self.options.threshold).float()


class SpectrumDefense(ZooDefense):
    """The magnitude of the Fourier transform, scaled by the root of the number of voxels; phases are thrown away.

    Broken: Fienup, "Phase retrieval algorithms: a comparison", Applied Optics 1982, gets images back from it; and it is
    a fingerprint as it is.
    """

    name = "zoo-spectrum"
    summary = "zoo, broken: the magnitude of the spectrum, without phases"
    keyed = False

    def hide(self, image: Tensor, key: ZooKey) -> Tensor:
        """Magnitudes, frequency 0 in the middle."""
        magnitude: Tensor = torch.fft.fftshift(torch.fft.fftn(image, norm="ortho").abs())
        return magnitude
