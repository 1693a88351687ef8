"""What the server does with patches. Like its network, it lies apart from all that knows of keys."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from privaudit.errors import OptionError

CPU_BATCH, GPU_BATCH = 8, 64
"""Patches per forward pass: few on a CPU, where large tensors cost page faults."""
OVERLAP = 0.25
"""Of the windows that slide over what is larger than a patch; blended with Gaussian weights (MONAI)."""


def batch_size(device: torch.device) -> int:
    """Patches per forward pass on a device."""
    return CPU_BATCH if device.type == "cpu" else GPU_BATCH


class Server:
    """What the server does: it sees encoded patches, and returns maps of probabilities.

    Args:
        network: the segmentation network.
        patch_size: side of the patches that it was trained on.
        device: where it runs.
        steady: fill each forward pass up with zeros, so that all have as many patches. The last digits of a convolution
            depend on that number: what a patch gets then depends on no other patch, and not on how they are sent.

    Attributes:
        batch: patches per forward pass.
        size: side of the patches.
    """

    def __init__(self, network: nn.Module, patch_size: int, device: torch.device, steady: bool = False) -> None:
        # Convolutions are faster in this layout; the client's network is not, for its normalisation. Group norm rounds
        # more in it, which ExactGroupNorm mends.
        self._network = network.to(device, memory_format=torch.channels_last_3d).eval()  # type: ignore[call-overload]
        self.size, self._device, self.batch, self._steady = patch_size, device, batch_size(device), steady

    @torch.inference_mode()
    def respond(self, patches: Tensor) -> Tensor:
        """Segment patches [N, *patch] or whole volumes [N, X, Y, Z]: float32 [N, C, *patch], summing to 1 over C.

        Raises:
            OptionError: a side is shorter than the network's patches.
        """
        sides = tuple(patches.shape[1:])
        if min(sides) < self.size:
            raise OptionError(
                "the image is smaller than the patches that the network was trained on",
                got="x".join(map(str, sides)),
                allowed=f"at least {self.size} voxels on each side",
                todo="pad it, or train with a smaller patch_size",
            )
        if max(sides) == self.size:
            return torch.cat([self._maps(part[:, None]).cpu() for part in torch.split(patches, self.batch)])
        from monai.inferers.utils import sliding_window_inference  # slow to import, and seldom needed

        window = (self.size,) * 3
        maps = [
            sliding_window_inference(
                volume[None, None], window, self.batch, self._forward, OVERLAP, "gaussian",
                sw_device=self._device, device=torch.device("cpu"),
            )
            for volume in patches
        ]  # fmt: skip
        return torch.cat(maps)  # type: ignore[arg-type]

    def _maps(self, patches: Tensor) -> Tensor:
        if not self._steady or len(patches) == self.batch:
            return self._forward(patches)
        filled = patches.new_zeros((self.batch, *patches.shape[1:]))
        filled[: len(patches)] = patches
        return self._forward(filled)[: len(patches)]

    def _forward(self, patches: Tensor) -> Tensor:
        maps: Tensor = self._network(patches.to(self._device)).softmax(dim=1)
        return maps
