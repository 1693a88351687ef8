"""The server's network. It lies apart, so that a server imports nothing that knows of keys, references or unmixing."""

from __future__ import annotations

from typing import Final, Literal

import torch
from torch import Tensor, nn

Size = Literal["tiny", "small", "paper"]
FEATURES: Final[dict[Size, tuple[int, ...]]] = {
    "tiny": (8, 8, 16, 32, 64, 8),
    "small": (16, 16, 32, 64, 128, 16),
    "paper": (32, 32, 64, 128, 256, 32),
}
"""Channels per resolution of the U-Net++, finest first, and of its last decoder. 'paper' has MONAI's, as the paper
gives none."""
STEP: Final = 16
"""The U-Net++ halves four times: patches have sides that are multiples of this, and at least twice it."""


class ExactGroupNorm(nn.GroupNorm):
    """Group norm that rounds as little in the memory layout 'channels last' as in the usual one.

    There torch adds up values and squares in one pass, and maps are off by some 5e-5. So it normalises a copy in the
    usual layout, and gives the input's layout back (``python -m benchmarks layout`` measures both).
    """

    def forward(self, input: Tensor) -> Tensor:
        """Features [B, F, X, Y, Z], normalised, in their memory layout."""
        if input.is_contiguous():
            return super().forward(input)
        return super().forward(input.contiguous()).contiguous(memory_format=torch.channels_last_3d)


class SegmentationNet(nn.Module):
    """Server: MONAI's 3-D U-Net++ (Zhou et al., 2018) with group norm, from one channel to logits."""

    def __init__(self, size: Size, classes: int) -> None:
        super().__init__()
        from monai.networks.layers.factories import Norm  # slow to import: audits may not need it
        from monai.networks.nets.basic_unetplusplus import BasicUNetPlusPlus

        if "EXACT_GROUP" not in Norm.names:
            Norm.add_factory_class("exact_group", ExactGroupNorm)
        # Instance norm would erase a patch's mean intensity, and fails on the single voxel at the bottom of 16 cubed.
        norm = ("exact_group", {"num_groups": 4})
        self.net = BasicUNetPlusPlus(3, 1, classes, features=FEATURES[size], norm=norm)

    def forward(self, image: Tensor) -> Tensor:
        """Logits [B, C, X, Y, Z] of patches [B, 1, X, Y, Z] in [0, 1]."""
        logits: Tensor = self.net(image)[0]
        return logits
