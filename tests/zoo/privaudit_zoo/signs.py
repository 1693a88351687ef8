"""Broken: random signs, which hide nothing of an image that has none."""

from __future__ import annotations

from torch import Tensor

from privaudit.imaging.cubes import random_signs
from privaudit_zoo.base import ZooDefense, ZooKey


class SignsDefense(ZooDefense):
    """Each voxel gets a fresh random sign.

    Broken: the absolute value is the image; Carlini et al., "Is private learning possible with instance encoding?",
    IEEE S&P 2021 (arXiv 2011.05315), undo InstaHide's signs so.
    """

    name = "zoo-signs"
    summary = "zoo, broken: a fresh random sign for each voxel"

    def hide(self, image: Tensor, key: ZooKey) -> Tensor:
        """The image with random signs."""
        return image * random_signs(image.shape, key.generator())


class FixedSignsDefense(SignsDefense):
    """The same signs for every scan. Broken: as ``zoo-signs``; encodings of a person even resemble each other."""

    name = "zoo-signs-fixed"
    summary = "zoo, broken: a random sign for each voxel, always the same"
    keyed = False
