"""What each broken encoder gives away to somebody without its key: the same is read from an encoding and from an image.

A scheme with one key for everything is not here: whoever has the scheme encodes images and compares encodings.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import torch
from scipy import ndimage, stats
from torch import Tensor

from privaudit.imaging.cubes import to_blocks
from privaudit_zoo.grey import levels
from privaudit_zoo.scrambled import BLOCK

Reading = Callable[[Tensor], Tensor]
"""From a volume [X, Y, Z] to what is compared, any shape."""


def same(image: Tensor) -> Tensor:
    """The image itself, whatever was added to it."""
    return image


def values(image: Tensor) -> Tensor:
    """All values in order: no move changes them."""
    return image.flatten().sort().values


def ranks(image: Tensor) -> Tensor:
    """The rank of each voxel: no rising table of grey values changes it."""
    return torch.from_numpy(stats.rankdata(image.numpy()))


def spectrum(image: Tensor) -> Tensor:
    """The magnitude of the spectrum: no cyclic translation changes it."""
    magnitude: Tensor = torch.fft.fftn(image - image.mean()).abs()
    return magnitude


def sharp(image: Tensor) -> Tensor:
    """What is left without the smooth part."""
    return image - torch.from_numpy(ndimage.gaussian_filter(image.numpy(), 4.0))


def contours(image: Tensor) -> Tensor:
    """Which voxels have the same grey value as their neighbours: no exchange of grey values changes it."""
    grey = levels(image)
    return torch.stack([grey[1:, 1:, 1:] == grey[:-1, 1:, 1:], grey[1:, 1:, 1:] == grey[1:, :-1, 1:]]).float()


def variances(image: Tensor) -> Tensor:
    """The variances of all cubes in order: scrambling, turning and inverting cubes leaves them."""
    return to_blocks(image, BLOCK).var(dim=1).sort().values


def roughness(image: Tensor) -> Tensor:
    """Squared steps between neighbours within each cube, over its variance, in order: gains and offsets leave it."""
    cubes = to_blocks(image, BLOCK).double()
    spread = cubes.var(dim=1)
    uneven = spread > 1e-8 * spread.max()  # air is flat in any grey
    inside = cubes[uneven].reshape(-1, BLOCK, BLOCK, BLOCK)
    steps = torch.stack([inside.diff(dim=axis).square().flatten(1).mean(dim=1) for axis in (1, 2, 3)]).sum(dim=0)
    return torch.quantile((steps / spread[uneven]).log(), torch.linspace(0, 1, 40, dtype=torch.float64))


def unfolded(image: Tensor) -> Tensor:
    """Logarithms of the singular values along each axis: no rotation of an axis changes them."""
    sides = (image.movedim(axis, 0).flatten(1).double() for axis in range(3))
    return torch.cat([torch.linalg.svdvals(side).clamp_min(1e-6).log() for side in sides])


def last_bits(sent: Tensor) -> Tensor:
    """How seldom the last of 24 binary digits is set around each voxel."""
    bits = (sent.double() * 2**24).floor().remainder(2).numpy()
    return torch.from_numpy(-ndimage.gaussian_filter(bits, 2.0))


def blurred(image: Tensor) -> Tensor:
    """The image, as smooth."""
    return torch.from_numpy(ndimage.gaussian_filter(image.double().numpy(), 2.0))


def bright(image: Tensor) -> Tensor:
    """The absolute value of the image scaled to [-1, 1], as InstaHide scales it."""
    return (2 * image - 1).abs()


READINGS: Final[Mapping[str, tuple[Reading, Reading]]] = {
    "zoo-pixelate": (same, same),
    "zoo-binary": (same, same),
    "zoo-spectrum": (lambda sent: torch.fft.ifftshift(sent).flatten()[1:], lambda image: spectrum(image).flatten()[1:]),
    "zoo-inverted": (lambda sent: 1 - sent, same),
    "zoo-monotone": (ranks, ranks),
    "zoo-grey-permutation": (contours, contours),
    "zoo-etc": (variances, variances),
    "zoo-etc-scaled": (roughness, roughness),
    "zoo-rotations": (unfolded, unfolded),
    "zoo-float-pad": (last_bits, blurred),
    "zoo-instahide": (torch.abs, bright),
    "zoo-signs": (torch.abs, same),
    "zoo-rigid": (values, values),
    "zoo-roll": (spectrum, spectrum),
    "zoo-turns": (values, values),
    "zoo-noise-10": (same, same),
    "zoo-noise-30": (same, same),
    "zoo-noise-50": (same, same),
    "zoo-half-noise": (same, same),
    "zoo-bias": (sharp, sharp),
}
"""By encoder: how an encoding is read, and how an image is."""
