"""The Siamese discriminator: do two encoded scans show the same person (Kim et al., TMI 2021)?"""

from __future__ import annotations

import math
from typing import Final, Literal

import torch
from torch import Tensor, nn

Backbone = Literal["resnet10", "densenet121"]
FEATURES: Final = 64
"""Numbers that a scan is described by."""


class SiameseNet(nn.Module):
    """MONAI's 3-D network describes each scan; a small head says from how two differ whether they are of one person.

    Args:
        backbone: 'densenet121' is the published one; 'resnet10', with an eighth of its usual channels, runs on a CPU.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.features: nn.Module
        if backbone == "densenet121":
            from monai.networks.nets.densenet import DenseNet121

            self.features = DenseNet121(3, 1, FEATURES)
        else:
            from monai.networks.nets.resnet import ResNet

            self.features = ResNet(
                "basic", [1, 1, 1, 1], [8, 16, 32, 64], n_input_channels=1, num_classes=FEATURES, conv1_t_size=3,
                no_max_pool=True, conv1_t_stride=2,
            )  # fmt: skip
        self.head = nn.Sequential(nn.Linear(FEATURES, FEATURES), nn.LeakyReLU(0.1), nn.Linear(FEATURES, 1))

    def forward(self, scans: Tensor) -> Tensor:
        """Logits [P] of 'the same person' of pairs: scans [2P, 1, X, Y, Z], of which 2i and 2i + 1 make pair i."""
        found = self.features(scans)
        logits: Tensor = self.head((found[::2] - found[1::2]).abs())[:, 0]
        return logits


def identity_loss(logits: Tensor, same: Tensor) -> Tensor:
    """Cross-entropy of pairs [P], the discriminator's loss; log 2 at chance."""
    return nn.functional.binary_cross_entropy_with_logits(logits.float(), same)


class Frozen:
    """Within it, a network's parameters get no gradient, though what it is fed does."""

    def __init__(self, network: nn.Module) -> None:
        self._network = network

    def __enter__(self) -> None:
        self._network.requires_grad_(False)

    def __exit__(self, *_: object) -> None:
        self._network.requires_grad_(True)


def at_chance(auc: float, pairs: int) -> bool:
    """Whether an area over so many pairs, half of each kind, may be chance (Mann-Whitney, 95 %).

    >>> at_chance(0.375, 16), at_chance(0.6, 64), at_chance(0.7, 64)
    (True, True, False)
    """
    half = pairs / 2
    return abs(auc - 0.5) <= 1.96 * math.sqrt((pairs + 1) / (12 * half * half))


def area_under_curve(logits: Tensor, same: Tensor) -> float | None:
    """Share of (same, different) pairs that the logits order rightly; None without both."""
    from sklearn.metrics import roc_auc_score

    truth = same.cpu().numpy() > 0.5
    if truth.all() or not truth.any():
        return None
    return float(roc_auc_score(truth, torch.nan_to_num(logits).cpu().numpy()))
