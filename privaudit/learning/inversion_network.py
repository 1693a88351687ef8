"""A network on top of the linear de-encoder: it corrects the linear picture, or the atlas where that is all there is.

Of several views it sees mean, spread, least and greatest at each voxel. That takes any number in any order, and tells
what mixtures and noise are told apart by; an encoder of each view would have to learn that from a dozen people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from privaudit.contracts.transcript import Transcript
from privaudit.imaging.patches import Shape, cut, grid_positions, stitch
from privaudit.learning.inversion import Inverter

FEATURES: Final = (8, 8, 16, 32, 32, 8)
"""Channels of the U-Net per resolution, finest first, and of its last decoder."""
STEP: Final = 16
"""The U-Net halves four times."""
WINDOW: Final = 32
"""Side of what the network sees at a time, in voxels: patches that are larger, and volumes, are cut."""
OVERLAP: Final = 8
"""Voxels that neighbouring windows share."""
LOUDEST: Final = 8.0
"""Standard deviations from the usual that an input may count."""
TOGETHER: Final = 8
"""Windows that go through the network at a time."""
FLOOR: Final = 1e-6
"""Spread below which an input, or what is lacking, is constant."""


class CorrectionNet(nn.Module):
    """MONAI's small 3-D U-Net, from what is known of a window to what the linear picture lacks; at first exactly 0.

    Args:
        centre: usual value of each input [C].
        spread: its standard deviation [C].
        scale: size of what is lacking, the unit of the output.
    """

    centre: Tensor
    spread: Tensor

    def __init__(self, centre: Tensor, spread: Tensor, scale: float) -> None:
        super().__init__()
        from monai.networks.nets.basic_unet import BasicUNet  # slow to import: audits may not need it

        self.register_buffer("centre", centre)
        self.register_buffer("spread", spread.clamp_min(FLOOR))
        self.scale = scale
        # Instance norm would erase a window's mean, and batch norm wants batches.
        self.net = BasicUNet(3, len(centre), 1, features=FEATURES, norm=("group", {"num_groups": 4}))
        for parameter in self.net.final_conv.parameters():
            nn.init.zeros_(parameter)
        self.net.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def forward(self, told: Tensor) -> Tensor:
        """Corrections [B, *window] of windows [B, C, *window], of any size."""
        usual = (slice(None), *(None,) * 3)
        seen = ((told - self.centre[usual]) / self.spread[usual]).clamp(-LOUDEST, LOUDEST)
        sides = seen.shape[2:]
        missing = [-side % STEP for side in sides]
        padded = nn.functional.pad(seen, [n for more in reversed(missing) for n in (0, more)], mode="replicate")
        found: Tensor = self.net(padded)[:, 0, : sides[0], : sides[1], : sides[2]]
        return self.scale * found


@dataclass(frozen=True, eq=False)
class Reading:
    """What an attacker knows of one scan, patch by patch as sent.

    Attributes:
        base: the linear picture [X, Y, Z].
        told: inputs of the network [N, C, *patch].
        positions: of the patches, int64 [N, 3].
    """

    base: Tensor
    told: Tensor
    positions: NDArray[np.int64]

    @classmethod
    def of(cls, transcript: Transcript, linear: Inverter) -> Reading:
        """Read a transcript.

        The inputs are: of the views their mean and, where there are several, spread, least and greatest; how the mean
        differs from the usual encoding at this place; how the linear picture differs from the atlas; mean and spread of
        the atlas; and of the maps that came back, where they are known, the mean.
        """
        views = transcript.views.sort(dim=0).values  # their order, which sums would show in the last bit, is gone
        mean = views.mean(dim=0)
        base = linear.invert(stitch(mean, transcript.positions, transcript.shape))
        atlas, size = linear.reader.atlas, _sides(mean)
        usual, apart, middle, spread = (
            cut(volume, transcript.positions, size)
            for volume in (linear.reader.mean.value, base - atlas.mean, atlas.mean, atlas.variance.sqrt())
        )
        inputs = [mean, mean - usual, apart, middle, spread]
        if len(views) > 1:
            inputs += [views.std(dim=0), views[0], views[-1]]
        told = torch.stack(inputs, dim=1)
        if transcript.returned is not None:
            told = torch.cat([told, transcript.returned.sort(dim=0).values.mean(dim=0)], dim=1)
        return cls(base, told, transcript.positions)

    def windows(self) -> tuple[Tensor, NDArray[np.int64]]:
        """The inputs in windows [M, C, *window], and their corners in the volume [M, 3]."""
        size = _sides(self.told)
        window = window_of(size)
        corners = grid_positions(size, window, _stride(window))
        found = [cut(patch, corners, window) for patch in self.told]
        return torch.cat(found), np.concatenate([corner + corners for corner in self.positions])


def window_of(patch: Shape) -> Shape:
    """What the network sees of a patch at a time.

    >>> window_of((24, 96, 80))
    (24, 32, 32)
    """
    x, y, z = (min(WINDOW, side) for side in patch)
    return x, y, z


def _stride(window: Shape) -> Shape:
    x, y, z = (max(1, side - OVERLAP) for side in window)
    return x, y, z


def _sides(patches: Tensor) -> Shape:
    x, y, z = patches.shape[-3:]
    return x, y, z


@torch.no_grad()
def corrected(network: CorrectionNet, reading: Reading, linear: Inverter) -> Tensor:
    """The picture [X, Y, Z]: the linear one and the network's correction, where people differ."""
    told, corners = reading.windows()
    device = network.centre.device
    found = torch.cat([network(part.to(device)).cpu() for part in torch.split(told, TOGETHER)])
    variance = linear.reader.atlas.variance
    correction = stitch(found, corners, _sides(variance))
    return (reading.base + correction * (variance > 0)).clamp(0, 1)


@dataclass(frozen=True, eq=False)
class NetworkInverter:
    """A trained de-encoder.

    Attributes:
        linear: what it starts from.
        network: what corrects it; None where that did not help people who were held out.
        left: squared error of people held out, or left out, as a share of the atlas's.
    """

    linear: Inverter
    network: CorrectionNet | None
    left: float

    def invert(self, transcript: Transcript) -> Tensor:
        """The picture [X, Y, Z] behind what was sent."""
        if self.network is None:
            return self.linear.invert(transcript.averaged())
        return corrected(self.network, Reading.of(transcript, self.linear), self.linear)
