"""The network that is served, read from a folder of weights: of it, two files are opened and no other."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load
from torch import nn

from privaudit.errors import OptionError, PrivauditError
from privaudit.segmentation.server import Server
from privaudit.segmentation.server_net import SegmentationNet, Size
from privaudit.validation import in_words

CONFIG, NETWORK = "config.json", "segmentation.safetensors"
SHIPPED: Final = Path(__file__).parents[1] / "segmentation" / "shipped"


class _Network(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)
    size: Size
    classes: int


class EngineConfig(BaseModel):
    """What a server needs of the weights' config: how to build its network, and the side of its patches."""

    model_config = ConfigDict(extra="ignore", frozen=True)
    network: _Network
    patch_size: int


class NetworkEngine:
    """The trained network: what a patch gets depends on no other patch.

    Args:
        network: it.
        config: what it was trained for.
        device: where it runs.
    """

    def __init__(self, network: nn.Module, config: EngineConfig, device: torch.device) -> None:
        self._server = Server(network, config.patch_size, device, steady=True)
        self._threads = torch.get_num_threads()
        self.batch, self.size, self.classes = self._server.batch, config.patch_size, config.network.classes

    def maps(self, patches: NDArray[np.float32]) -> NDArray[np.float32]:
        """Maps of probabilities, float32 [N, C, *patch], of patches [N, *patch]."""
        torch.set_num_threads(self._threads)  # each Python thread has a number of its own
        # A copy: what was received may not be written on, and torch warns of such memory.
        return self._server.respond(torch.tensor(patches)).numpy()


def load_engine(folder: Path, device: torch.device) -> NetworkEngine:
    """Read the segmentation network of a weights folder, or of shipped weights by name.

    Raises:
        OptionError: there is none.
        PrivauditError: it is damaged.
    """
    if not folder.exists() and len(folder.parts) == 1 and (SHIPPED / folder.name / CONFIG).is_file():
        folder = SHIPPED / folder.name
    if not (folder / CONFIG).is_file() or not (folder / NETWORK).is_file():
        raise OptionError(
            "no trained weights there", got=folder, allowed=f"a folder with {CONFIG} and {NETWORK}, or shipped weights",
            todo="train some with 'privaudit train'",
        )  # fmt: skip
    try:
        config = EngineConfig.model_validate_json((folder / CONFIG).read_bytes())
        network = SegmentationNet(config.network.size, config.network.classes)
        network.load_state_dict(load((folder / NETWORK).read_bytes()))
    except (ValidationError, SafetensorError, OSError, RuntimeError, ValueError) as error:
        reason = in_words(error, EngineConfig)
        raise PrivauditError(f"the weights in {folder} cannot be read: {reason}", todo="copy them again") from None
    return NetworkEngine(network.requires_grad_(False), config, device)
