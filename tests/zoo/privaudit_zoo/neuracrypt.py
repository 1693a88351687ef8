"""Broken: a random network as an encoder."""

from __future__ import annotations

import itertools
from functools import lru_cache
from typing import Final

import torch
from torch import Tensor

from privaudit.imaging.cubes import from_blocks, to_blocks
from privaudit_zoo.base import ZooDefense, ZooKey

PATCH: Final = 4
"""Side in voxels of the patches that are encoded one by one."""
WIDTH: Final = 256
"""Channels between two layers."""


class NeuraCryptDefense(ZooDefense):
    """Each patch of 4³ voxels goes through a random network that nobody has trained, always the same.

    Yala et al., "NeuraCrypt: hiding private health data via random neural networks for public training", 2021 (arXiv
    2106.02484): a convolution as wide as a patch, then convolutions of one voxel with ReLU. Simplified: two hidden
    layers of 256 channels; 64 output channels, which are laid out as the patch's voxels so that the shape is kept; no
    batch normalisation, no positional embeddings, and patches keep their places, where NeuraCrypt shuffles them.
    Broken, with the shuffling as well: Carlini et al., "NeuraCrypt is not private", 2021 (arXiv 2108.07256). The
    attacker of an audit has the scheme and so the network, which NeuraCrypt's authors would keep private.
    """

    name = "zoo-neuracrypt"
    summary = "zoo, broken: each patch through a random network, always the same"
    keyed = False

    def hide(self, image: Tensor, key: ZooKey) -> Tensor:
        """Encode every patch; patches cut off at the far border are not sent."""
        values = to_blocks(image, PATCH)
        *hidden, last = layers(key.seed)
        for weights, bias in hidden:
            values = torch.relu(values @ weights + bias)
        return from_blocks(values @ last[0] + last[1], PATCH, image.shape)


@lru_cache(maxsize=2)
def layers(seed: int) -> tuple[tuple[Tensor, Tensor], ...]:
    """Weights [in, out] of He's variance and biases [out] of each layer."""
    generator = ZooKey(seed).generator()
    sizes = (PATCH**3, WIDTH, WIDTH, PATCH**3)
    return tuple(
        (torch.randn((a, b), generator=generator) * (2 / a) ** 0.5, 0.1 * torch.randn(b, generator=generator))
        for a, b in itertools.pairwise(sizes)
    )
