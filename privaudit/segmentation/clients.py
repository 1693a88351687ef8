"""What the client of a learned scheme runs before it sends: an encoder of images, or a generator of deformations."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from privaudit.contracts.defense import ClientKind
from privaudit.imaging.patches import Shape

BASE: Final = 16
"""Channels of the encoder's finest level, as published."""
KEY_SIZE: Final = 64
"""Numbers of a private key."""
CONTROLS: Final = 8
"""Control points of a velocity field along each axis."""
STIRRED: Final = 0.2
"""Spread of the generator's first weights, with which its fields use some half of the strength from the start."""


class ProxyEncoder(nn.Module):
    """Image to proxy (Privacy-Net; Kim et al., TMI 2021): MONAI's 3-D U-Net with 16 base channels and a sigmoid.

    Batch norm, as its statistics are those of training: a whole volume is encoded as its patches would be.
    """

    def __init__(self) -> None:
        super().__init__()
        from monai.networks.nets.unet import UNet  # slow to import: audits may not need it

        channels = (BASE, 2 * BASE, 4 * BASE, 4 * BASE)
        self.net = UNet(3, 1, 1, channels, strides=(1, 2, 2), norm="batch")
        self.step = 4

    def forward(self, image: Tensor) -> Tensor:
        """Proxies [B, 1, X, Y, Z] in [0, 1] of images of that shape, of any size."""
        sides = image.shape[2:]
        missing = [-side % self.step for side in sides]
        padded = nn.functional.pad(image, [n for more in reversed(missing) for n in (0, more)])
        proxy: Tensor = self.net(padded).sigmoid()
        return proxy[..., : sides[0], : sides[1], : sides[2]]


class VelocityGenerator(nn.Module):
    """Private key to velocity field (Deformation-Proxy; Kim et al., BMVC 2021).

    Control points on a grid of 8³, none of which moves on the volume's faces, joined by smoothed linear interpolation;
    the flow of the field is the deformation, that of the negated field its inverse.
    """

    def __init__(self) -> None:
        super().__init__()
        last = nn.Linear(KEY_SIZE, 3 * (CONTROLS - 2) ** 3)
        nn.init.normal_(last.weight, std=STIRRED)
        self.net = nn.Sequential(nn.Linear(KEY_SIZE, KEY_SIZE), nn.SiLU(), last, nn.Tanh())

    def forward(self, key: Tensor, shape: Shape) -> Tensor:
        """Velocity [B, 3, *shape] of keys [B, 64], at most 1 in size: the scheme's strength is its unit."""
        inner = self.net(key).reshape(-1, 3, *(CONTROLS - 2,) * 3)
        points = nn.functional.pad(inner, (1,) * 6)
        field = nn.functional.interpolate(points, size=shape, mode="trilinear", align_corners=True)
        kernel = [max(3, side // (CONTROLS - 1) | 1) for side in shape]
        smooth = nn.functional.avg_pool3d(field, kernel, stride=1, padding=[side // 2 for side in kernel])
        for axis, side in enumerate(shape):
            steps = torch.arange(side, device=key.device)
            fade = (torch.minimum(steps, side - 1 - steps) / 2).clamp(max=1)
            smooth = smooth * fade.reshape([-1 if axis == i else 1 for i in range(3)])
        return smooth


def build_client(kind: ClientKind) -> ProxyEncoder | VelocityGenerator | None:
    """The client's network, with fresh weights."""
    return {"none": lambda: None, "proxy": ProxyEncoder, "velocity": VelocityGenerator}[kind]()
