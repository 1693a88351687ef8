"""What the training of a prior is: its specification, presets included."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from privaudit.learning.options import LoopOptions
from privaudit.prior.network import Architecture, Context
from privaudit.segmentation.options import Preset
from privaudit.segmentation.server_net import STEP, Size
from privaudit.specs import PluginSpec, Seed, SplitSpec, digest_of

Positive = Annotated[float, Field(gt=0)]


class PriorOptions(LoopOptions):
    """How to train a score prior by denoising score matching. The presets set these; any may be overridden."""

    architecture: Architecture = Field(
        default="diffusion-unet", description="'unetplusplus' is the paper's, f(x)/σ; 'diffusion-unet' is told σ"
    )
    size: Size = Field(default="tiny", description="channels of the network")
    context: Context = Field(
        default="atlas",
        description="what the network is told: nothing, where in the volume a patch lies (as a transcript tells an"
        " attacker), or that and the mean of the attacker's sample there",
    )
    detail: bool = Field(
        default=True, description="refine what the diffusion U-Net returns by convolutions over single voxels"
    )
    patch_size: Annotated[int, Field(ge=2 * STEP, multiple_of=STEP)] = Field(
        default=32, description="side of the patches in voxels"
    )
    noise: Literal["log-uniform", "edm", "geometric", "ncsnv2"] = Field(
        default="edm",
        description="noise levels trained on: EDM's log-normal around the size of the details, with one in eight from"
        " anywhere between the ends; all from anywhere; ten in geometric progression; or NCSNv2's, from the largest"
        " distance between training patches down, as dense as the dimension asks for",
    )
    sigma_max: Positive = Field(default=10.0, description="largest noise level; 'ncsnv2' measures its own")
    sigma_min: Positive = Field(default=0.01, description="smallest noise level")
    foreground: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.5, description="share of the patches placed over labelled tissue, every label as often"
    )
    steps: Annotated[int, Field(ge=1, le=10**9)] = Field(default=1500, description="optimiser steps")
    batch: Annotated[int, Field(ge=1, le=4096)] = Field(default=8, description="patches per step and process")
    ema: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.995, description="decay of the weights' moving average, which is what is saved; 0 for none"
    )


PRIOR_PRESETS: Final[dict[Preset, dict[str, Any]]] = {
    "quick": {},
    "standard": {
        "size": "small", "steps": 40_000, "batch": 64, "learning_rate": 1e-3, "ema": 0.999, "precision": "bf16",
        "validate_every": 2000, "checkpoint_every": 1000,
    },
    "paper": {
        "architecture": "unetplusplus", "size": "paper", "context": "nothing", "noise": "geometric", "sigma_max": 1.0,
        "steps": 100_000, "batch": 16, "learning_rate": 5e-4, "schedule": "constant", "ema": 0.999, "foreground": 0.0,
        "flip": False, "validate_every": 5000, "checkpoint_every": 1000,
    },
}  # fmt: skip
"""``quick``: half an hour on two cores. ``standard``: half an hour on one data-centre GPU. ``paper``: 100,000
iterations of batch 16, learning rate 5e-4, U-Net++, ten noise levels from 1 to 0.01."""


class PriorSpec(BaseModel):
    """One training of a prior, on the people that an audit with the same data, split and seed calls 'population'."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    dataset: PluginSpec = PluginSpec(name="phantom")
    seed: Seed = 0
    split: SplitSpec = SplitSpec()
    train: PriorOptions = PriorOptions()

    @property
    def digest(self) -> str:
        """Eight hex digits that name this training."""
        return digest_of(self)
