"""Networks that map scans to vectors whose dot product says how alike their owners are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from privaudit.learning.discriminator import Backbone, SiameseNet
from privaudit.learning.own_people import coarse

WIDTH: Final = 8
"""Channels of the learned filters."""
LOUDEST: Final = 4.0
"""Standard deviations from the mean that a voxel may count: an edge that has moved is no person."""


class MetricNet(nn.Module):
    """Maps scans to unit vectors whose dot product says how alike their owners are.

    It starts as the correlation of how scans differ from the mean one, voxel by voxel in standard deviations, and
    learns a small filter and a weight for each voxel: with a dozen people to learn from, what does not know that
    brains are aligned has too much to learn.

    Args:
        means: mean scan [1, 1, *shape] of each kind compared, for example encoded and raw.
        spread: standard deviation [1, 1, *shape] among people.
    """

    means: Tensor
    spread: Tensor

    def __init__(self, means: Tensor, spread: Tensor) -> None:
        super().__init__()
        self.register_buffer("means", means)
        self.register_buffer("spread", spread)
        self.weight = nn.Parameter(torch.zeros_like(spread))
        self.temperature = nn.Parameter(torch.tensor(10.0).log())
        self.filters = nn.Sequential(
            nn.Conv3d(2, WIDTH, 3, padding=1), nn.SiLU(), nn.Conv3d(WIDTH, WIDTH, 3, padding=1), nn.SiLU(),
            nn.Conv3d(WIDTH, 1, 3, padding=1),
        )  # fmt: skip
        for parameter in self.filters[-1].parameters():
            nn.init.zeros_(parameter)
        # Half the time of the default layout, on a CPU.
        self.filters.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def forward(self, scans: Tensor, kind: int) -> Tensor:
        """Unit vectors [B, D] of scans [B, 1, *shape] of one kind."""
        mean = self.means[kind]
        apart = ((scans - mean) / self.spread).clamp(-LOUDEST, LOUDEST)
        told = torch.cat([apart, mean.expand_as(apart)], dim=1)
        weighed = (apart + self.filters(told)) * self.weight.exp()
        return nn.functional.normalize(weighed.flatten(1), dim=1)


class BackboneMetric(MetricNet):
    """The published discriminator's network, trained on the frozen scheme: MONAI's 3-D ResNet or DenseNet-121.

    It sees how scans differ from the mean one, in standard deviations; its features are compared as those of the
    simpler metric are.
    """

    def __init__(self, means: Tensor, spread: Tensor, backbone: Backbone) -> None:
        super().__init__(means, spread)
        self.features = SiameseNet(backbone).features
        self.features.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def forward(self, scans: Tensor, kind: int) -> Tensor:
        """Unit vectors [B, D] of scans [B, 1, *shape] of one kind."""
        apart = ((scans - self.means[kind]) / self.spread).clamp(-LOUDEST, LOUDEST)
        return nn.functional.normalize(self.features(apart), dim=1)


@torch.no_grad()
def embed(network: MetricNet, scans: Sequence[Callable[[], Tensor]], kind: int) -> NDArray[np.float64]:
    """Unit vectors [N, D] of volumes [X, Y, Z], one at a time: what is asked together changes nothing."""
    device = network.weight.device
    rows: list[Any] = [network(coarse(scan()).to(device), kind)[0].double().cpu().numpy() for scan in scans]
    return np.stack(rows)
