"""The score network: s(x, σ) ≈ ∇ log p_σ(x), where p_σ is the distribution of patches plus noise of level σ."""

from __future__ import annotations

from typing import Final, Literal

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.models.modeling_utils import ModelMixin
from torch import Tensor, nn

from privaudit.segmentation.server_net import FEATURES, Size

Architecture = Literal["unetplusplus", "diffusion-unet"]
Context = Literal["nothing", "positions", "atlas"]
CONTEXT_CHANNELS: Final[dict[Context, int]] = {"nothing": 0, "positions": 3, "atlas": 4}
CHANNELS: Final[dict[Size, tuple[int, ...]]] = {"tiny": (16, 32, 48), "small": (32, 64, 128), "paper": (64, 128, 256)}
FOLD: Final = 2
"""The diffusion U-Net sees blocks of 2³ voxels as channels, at an eighth of the cost of seeing voxels."""
DETAIL: Final[dict[Size, int]] = {"tiny": 8, "small": 16, "paper": 16}
"""Channels of the branch that does see voxels: noise finer than a block does not fit through the U-Net's channels."""
EMBEDDED: Final = 250.0
"""Scale of ln σ before MONAI's sinusoidal embedding, which expects time steps of some hundreds."""


class ScoreNet(ModelMixin, ConfigMixin):  # type: ignore[misc]
    """Scores of noisy patches.

    ``unetplusplus`` is the paper's network as NCSNv2 uses it: f(x)/σ, without an embedding of the noise level.
    ``diffusion-unet`` is MONAI's diffusion U-Net, told the noise level, preconditioned as in EDM (Karras et al., 2022):
    the network predicts what lies between the noisy patch and the clean one in units that do not depend on σ.

    Args:
        architecture: one of the two.
        size: channels.
        data_sd: standard deviation of the patches' voxels, or of what tells them from the atlas (for
            ``diffusion-unet``).
        context: what else the network is told. 'positions': where in the volume each voxel lies; patches of aligned
            brains are far from alike in distribution, and a transcript tells an attacker where each was cut. 'atlas':
            that, and the mean of the attacker's sample there; the network then models how people differ from it.
        detail: refine what the diffusion U-Net returns by three convolutions over voxels.
    """

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self, architecture: Architecture = "diffusion-unet", size: Size = "tiny", data_sd: float = 0.3,
        context: Context = "nothing", detail: bool = False,
    ) -> None:  # fmt: skip
        super().__init__()  # type: ignore[no-untyped-call]
        self.architecture, self.size, self.context, self.data_sd = architecture, size, context, data_sd
        self.net: nn.Module
        self.details: nn.Sequential | None = None
        if architecture == "unetplusplus":
            from monai.networks.nets.basic_unetplusplus import BasicUNetPlusPlus

            # Instance norm would erase a patch's mean intensity, and fails on the single voxel at the bottom of 32³.
            norm = ("group", {"num_groups": 4})
            self.net = BasicUNetPlusPlus(3, 1 + CONTEXT_CHANNELS[context], 1, features=FEATURES[size], norm=norm)
        else:
            from monai.networks.nets.diffusion_model_unet import DiffusionModelUNet

            channels = CHANNELS[size]
            levels = (False,) * len(channels)
            folded = (2 if context == "atlas" else 1) * FOLD**3 + (0 if context == "nothing" else 3)
            self.net = DiffusionModelUNet(
                3, folded, FOLD**3, num_res_blocks=1, channels=channels, attention_levels=levels,
                norm_num_groups=4,
            )  # fmt: skip
            if detail:
                width = DETAIL[size]
                self.details = nn.Sequential(
                    nn.Conv3d(4, width, 3, padding=1), nn.SiLU(), nn.Conv3d(width, width, 3, padding=1), nn.SiLU(),
                    nn.Conv3d(width, 1, 3, padding=1),
                )  # fmt: skip
                for parameter in self.details[-1].parameters():
                    nn.init.zeros_(parameter)

    @property
    def kind(self) -> tuple[str, str, str, float]:
        """What it takes to build it again."""
        return self.architecture, self.size, self.context, self.data_sd

    def forward(self, x: Tensor, sigma: Tensor, context: Tensor | None = None) -> Tensor:
        """Scores [B, 1, *patch] of noisy patches.

        Args:
            x: [B, 1, *patch].
            sigma: noise level of each [B], in units of intensity.
            context: what the network is told: nothing, or [B, 3 or 4, *patch]: voxel positions, each axis of the volume
                from -1 to 1, and with 'atlas' the mean there.
        """
        level = sigma.to(x.dtype).reshape(-1, 1, 1, 1, 1)
        if self.architecture == "unetplusplus":
            told = x if context is None else torch.cat([x, context.to(x.dtype)], dim=1)
            out: Tensor = self.net(told)[0] / level
            return out
        from monai.networks.utils import pixelshuffle, pixelunshuffle

        both = level.square() + self.data_sd**2
        # The network sees, and returns, how a patch differs from what is expected of it.
        centre = context[:, 3:].to(x.dtype) if context is not None and self.context == "atlas" else torch.zeros_like(x)
        apart = x - centre
        seen = apart / both.sqrt()
        inputs = [pixelunshuffle(seen, 3, FOLD)]
        if context is not None:
            inputs.append(nn.functional.avg_pool3d(context[:, :3].to(x.dtype), FOLD))
        if self.context == "atlas":
            inputs.append(pixelunshuffle(centre, 3, FOLD))
        guess = pixelshuffle(self.net(torch.cat(inputs, dim=1), EMBEDDED * sigma.log()), 3, FOLD)
        if self.details is not None:
            loudness = (level / self.data_sd).log().expand_as(seen)
            guess = guess + self.details(torch.cat([seen, guess, centre, loudness], dim=1))
        clean = self.data_sd**2 / both * apart + level * self.data_sd / both.sqrt() * guess
        score: Tensor = (clean - apart) / level.square()
        return score

    def emphasis(self, sigma: Tensor) -> Tensor:
        """Weight of each noise level in the loss: 1 as published, or EDM's, under which all levels weigh the same."""
        if self.architecture == "unetplusplus":
            return torch.ones_like(sigma)
        return (sigma.square() + self.data_sd**2) / self.data_sd**2


def positions_of(corners: Tensor, size: int, shape: tuple[int, int, int]) -> Tensor:
    """Voxel positions [B, 3, size, size, size] of patches, each axis of the volume from -1 to 1.

    Args:
        corners: first voxel of each patch [B, 3].
        size: side of the patches.
        shape: of the volume.
    """
    steps = torch.arange(size, device=corners.device)
    axes = [(corners[:, i, None] + steps) / (shape[i] - 1) * 2 - 1 for i in range(3)]
    grids = [
        axes[0][:, :, None, None].expand(-1, size, size, size),
        axes[1][:, None, :, None].expand(-1, size, size, size),
        axes[2][:, None, None, :].expand(-1, size, size, size),
    ]
    return torch.stack(grids, dim=1).float()


def context_of(kind: Context, corners: Tensor, size: int, atlas: Tensor) -> Tensor | None:
    """What a network is told of patches [B, 3 or 4, size, size, size], or None.

    Args:
        kind: of context.
        corners: first voxel of each patch [B, 3].
        size: side of the patches.
        atlas: mean of the attacker's sample [X, Y, Z], on the corners' device.
    """
    if kind == "nothing":
        return None
    places = positions_of(corners, size, (atlas.shape[0], atlas.shape[1], atlas.shape[2]))
    if kind == "positions":
        return places
    there = [atlas[x : x + size, y : y + size, z : z + size] for x, y, z in corners.tolist()]
    return torch.cat([places, torch.stack(there)[:, None].float()], dim=1)
