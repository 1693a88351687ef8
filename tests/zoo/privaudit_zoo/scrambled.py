"""Broken: perceptual encryption, which scrambles cubes of the image or the voxels within them."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from privaudit.imaging.cubes import from_blocks, scrambled, to_blocks
from privaudit_zoo.base import ZooDefense, ZooKey

BLOCK: Final = 8
"""Side in voxels of the cubes that are scrambled."""
LEARNABLE_BLOCK: Final = 4
"""Side in voxels of the cubes within which voxels are shuffled."""


class EtcDefense(ZooDefense):
    """Encryption-then-compression: cubes change places, are turned or mirrored, and some are inverted; a fresh key.

    Kurihara, Kikuchi, Imaizumi, Shiota and Kiya, "An encryption-then-compression system for JPEG standard", IEICE
    Transactions 2015, with cubes of 8³ voxels in place of squares. Broken: Chuman, Kurihara and Kiya, "On the
    security of block scrambling-based EtC systems against extended jigsaw puzzle solver attacks", IEICE Transactions
    2018. What no turn or place changes, such as each cube's variance, is there without the key.
    """

    name = "zoo-etc"
    summary = "zoo, broken: cubes permuted, turned, mirrored and inverted, with a fresh key"

    def hide(self, image: Tensor, key: ZooKey) -> Tensor:
        """Scramble; cubes cut off at the far border are not sent."""
        return scrambled(image, BLOCK, key.generator())


class ScaledEtcDefense(EtcDefense):
    """The same, and every cube gets a gain, a sign and an offset of its own, with a fresh key.

    Broken: as ``zoo-etc``. What no gain and no offset changes either, such as each cube's roughness, is there
    without the key.
    """

    name = "zoo-etc-scaled"
    summary = "zoo, broken: cubes permuted, turned and mirrored, each with a fresh gain, sign and offset"

    def hide(self, image: Tensor, key: ZooKey) -> Tensor:
        """Scramble, then scale each cube."""
        generator = key.generator()
        blocks = to_blocks(scrambled(image, BLOCK, generator), BLOCK)
        gain, offset = (torch.randn((len(blocks), 1), generator=generator) for _ in range(2))
        sign = 2.0 * torch.randint(2, (len(blocks), 1), generator=generator) - 1
        return from_blocks(sign * (gain / 2).exp() * blocks + offset, BLOCK, image.shape)


class FixedEtcDefense(EtcDefense):
    """The same with one key for every scan. Broken: as ``zoo-etc``, and by whoever has a copy of the scheme."""

    name = "zoo-etc-fixed"
    summary = "zoo, broken: cubes permuted, turned, mirrored and inverted, always with the same key"
    keyed = False


class LearnableDefense(ZooDefense):
    """Voxels change places within each cube of 4³ and half of the places are inverted; one key for all cubes and scans.

    Tanaka, "Learnable image encryption", IEEE ICCE-TW 2018 (arXiv 1804.00490). Left out: he splits each value of 8 bits
    into two of 4 before shuffling, which gives six channels of colour images; here values stay whole. Broken: Chang and
    Case, "Attacks on image encryption schemes for privacy-preserving deep neural networks", 2020 (arXiv 2004.13263).
    """

    name = "zoo-learnable"
    summary = "zoo, broken: voxels shuffled and inverted within cubes, always with the same key"
    keyed = False

    def hide(self, image: Tensor, key: ZooKey) -> Tensor:
        """Shuffle and invert; voxels of cubes cut off at the far border are not sent."""
        generator = key.generator()
        voxels = LEARNABLE_BLOCK**3
        blocks = to_blocks(image, LEARNABLE_BLOCK)[:, torch.randperm(voxels, generator=generator)]
        negative = torch.rand(voxels, generator=generator) < 0.5
        return from_blocks(torch.where(negative, 1 - blocks, blocks), LEARNABLE_BLOCK, image.shape)
