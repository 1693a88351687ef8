"""The networks of Mixup-Privacy: the server segments mixtures (server_net.py), the client unmixes what returns.

Maps are [B, C, X, Y, Z] with C classes, background first.
"""

from __future__ import annotations

from typing import Annotated, Final

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from privaudit.contracts.defense import ClientKind
from privaudit.errors import PrivauditError
from privaudit.segmentation.clients import build_client
from privaudit.segmentation.server_net import SegmentationNet, Size

UNMIXING_WIDTH: Final[dict[Size, int]] = {"tiny": 12, "small": 16, "paper": 16}
"""A shallow network, so that the client computes a fraction of what the server does."""


class NetworkConfig(BaseModel):
    """What it takes to build the networks again."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    size: Size
    classes: Annotated[int, Field(ge=2, le=256)]
    unmixing: bool
    client: ClientKind = "none"


class AdaptiveNorm(nn.Module):
    """Instance normalisation whose scale and shift are functions of α (AdaIN; Huang & Belongie, ICCV 2017)."""

    def __init__(self, channels: int, hidden: int = 16) -> None:
        super().__init__()
        self.style = nn.Sequential(nn.Linear(1, hidden), nn.SiLU(), nn.Linear(hidden, 2 * channels))

    def forward(self, x: Tensor, alpha: Tensor) -> Tensor:
        """Normalise x [B, F, X, Y, Z] under α [B]."""
        scale, shift = self.style(alpha[:, None]).chunk(2, dim=1)
        # Batch norm of one sample with B·F channels is instance norm, and takes scale and shift in the same pass.
        channels = x.reshape(1, -1, *x.shape[2:])
        out = nn.functional.batch_norm(channels, None, None, (1 + scale).flatten(), shift.flatten(), training=True)
        return out.reshape(x.shape)


class ConvBlock(nn.Module):
    """Convolution, adaptive normalisation, activation."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 3, stride=stride, padding=1)
        self.norm = AdaptiveNorm(outputs)

    def forward(self, x: Tensor, alpha: Tensor) -> Tensor:
        """Features of x under α."""
        return nn.functional.leaky_relu(self.norm(self.conv(x), alpha), 0.1)


class UnmixingNet(nn.Module):
    """Client: D(ŷ_mix, y_ref, α) of the paper, a U-Net of four convolutional blocks.

    It corrects the naive estimate: ŷ_mix − (1 − α)·y_ref is α times equation 4 and has the same largest class, without
    the division that explodes at small α. It is fed in, and joined to the logits by a learned gain.
    """

    def __init__(self, size: Size, classes: int) -> None:
        super().__init__()
        width = UNMIXING_WIDTH[size]
        self.first = ConvBlock(3 * classes, width)
        self.down = ConvBlock(width, 2 * width, stride=2)
        self.middle = ConvBlock(2 * width, 2 * width)
        self.up = nn.ConvTranspose3d(2 * width, width, 2, stride=2)
        self.last = ConvBlock(2 * width, width)
        self.head = nn.Conv3d(width, classes, 1)
        self.gain = nn.Sequential(nn.Linear(1, 16), nn.SiLU(), nn.Linear(16, 1), nn.Softplus())

    def forward(self, mixed: Tensor, reference: Tensor, alpha: Tensor) -> Tensor:
        """Logits of the target's map.

        Args:
            mixed: the returned map as probabilities [B, C, X, Y, Z].
            reference: labels of the reference, one-hot, or the weighted mean of k of them, same shape.
            alpha: the target's mixing weight [B] in (0, 1].

        Returns:
            [B, C, X, Y, Z].
        """
        spread = alpha[:, None, None, None, None]
        naive = mixed - (1 - spread) * reference
        fine = self.first(torch.cat([mixed, reference, naive], dim=1), alpha)
        coarse = self.middle(self.down(fine, alpha), alpha)
        joined = self.last(torch.cat([fine, self.up(coarse)], dim=1), alpha)
        gain = self.gain(alpha[:, None])[..., None, None, None]
        logits: Tensor = self.head(joined) + 4 * gain * naive
        return logits


class Elsewhere(nn.Module):
    """Stands where a client's own process has no segmentation network."""

    def forward(self, image: Tensor) -> Tensor:
        """Raises PrivauditError: there is none."""
        raise PrivauditError("the segmentation network is the server's, and was not read", todo="name the server")


class ProtectedSegmentation(nn.Module):
    """The networks of a scheme as trained, end to end.

    The unmixing one is absent where nothing is mixed, that of the client where its encoding is not learned.

    Args:
        config: how to build them.
        server: whether the server's network is built, too; a client of a server elsewhere needs it not.
    """

    def __init__(self, config: NetworkConfig, server: bool = True) -> None:
        super().__init__()
        self.config = config
        self.segmentation: nn.Module = SegmentationNet(config.size, config.classes) if server else Elsewhere()
        self.unmixing = UnmixingNet(config.size, config.classes) if config.unmixing else None
        self.client = build_client(config.client)

    def forward(self, image: Tensor, reference: Tensor | None, alpha: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Logits of the (mixed) image's map, and of the target's."""
        logits: Tensor = self.segmentation(image)
        if self.unmixing is None or reference is None or alpha is None:
            return logits, None
        return logits, self.unmixing(logits.softmax(dim=1), reference, alpha)


def parameters(module: nn.Module) -> int:
    """How many numbers a network has learned."""
    return sum(parameter.numel() for parameter in module.parameters())


def build(config: NetworkConfig, seed: int, server: bool = True) -> ProtectedSegmentation:
    """Build the networks with initial weights from ``seed``, leaving torch's global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ProtectedSegmentation(config, server)
