"""What a training is: its specification, presets included."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from privaudit.errors import OptionError
from privaudit.options import PluginOptions
from privaudit.segmentation.networks import STEP, Size
from privaudit.spec import PluginSpec, SplitSpec, named, read_yaml, validate_spec

Preset = Literal["quick", "standard", "paper"]


class TrainOptions(PluginOptions):
    """How to train. The presets set these; any may be overridden."""

    size: Size = Field(default="tiny", description="channels of the networks")
    patch_size: Annotated[int, Field(ge=2 * STEP, multiple_of=STEP)] | None = Field(
        default=None, description="side of the patches in voxels; null for the defense's, or 32"
    )
    pretrained: str | None = Field(default=None, description="weights to start from: a folder, or shipped ones by name")
    steps: Annotated[int, Field(ge=1)] = Field(default=600, description="optimiser steps")
    batch: Annotated[int, Field(ge=1)] = Field(default=4, description="patches per step and process")
    learning_rate: Annotated[float, Field(gt=0)] = Field(default=2e-3, description="of Adam")
    schedule: Literal["constant", "cosine"] = Field(default="cosine", description="of the learning rate")
    ema: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.99, description="decay of the weights' moving average, which is what is saved; 0 for none"
    )
    unmixed_weight: Annotated[float, Field(gt=0)] = Field(default=1.0, description="weight of the unmixed map's loss")
    foreground: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.5, description="share of the patches placed over labelled tissue, every label as often"
    )
    flip: bool = Field(default=True, description="mirror patches left to right at random")
    clip: Annotated[float, Field(gt=0)] = Field(default=1.0, description="largest norm of the gradient")
    precision: Literal["no", "bf16"] = Field(default="no", description="mixed precision, as accelerate names it")
    validation: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.15, description="share of the training people who are held out to validate on"
    )
    validate_every: Annotated[int, Field(ge=1)] = Field(default=200, description="steps between validations")
    validation_batches: Annotated[int, Field(ge=1)] = Field(default=8, description="batches per validation")
    checkpoint_every: Annotated[int, Field(ge=1)] = Field(default=100, description="steps between checkpoints")
    hold: Annotated[int, Field(ge=2)] = Field(default=256, description="scans held on the device at a time")


PRESETS: Final[dict[Preset, dict[str, Any]]] = {
    "quick": {},
    "standard": {
        "size": "small", "steps": 20_000, "batch": 16, "learning_rate": 1e-3, "ema": 0.999, "precision": "bf16",
        "validate_every": 1000, "checkpoint_every": 500, "validation_batches": 16,
    },
    "paper": {
        "size": "paper", "steps": 200_000, "batch": 4, "learning_rate": 1e-4, "schedule": "constant", "ema": 0.0,
        "foreground": 0.0, "flip": False, "validate_every": 5000, "checkpoint_every": 1000, "validation_batches": 16,
    },
}  # fmt: skip
"""``quick``: minutes on two cores. ``standard``: half an hour on one data-centre GPU. ``paper``: 200,000 iterations of
batch 4, learning rate 1e-4."""


class TrainSpec(BaseModel):
    """One training."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    dataset: PluginSpec = PluginSpec(name="phantom")
    defense: PluginSpec = PluginSpec(name="mixup")
    seed: int = 0
    split: SplitSpec = SplitSpec()
    train: TrainOptions = TrainOptions()

    @property
    def digest(self) -> str:
        """Eight hex digits that name this training."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:8]


def parse_train_spec(data: Any, source: str) -> TrainSpec:
    """Check a training specification; a plugin may be given by name alone.

    Raises:
        OptionError: an unknown key (the nearest one is offered) or an unusable value.
    """
    if not isinstance(data, dict):
        raise OptionError(f"{source} is no training specification", got=type(data).__name__)
    data = {key: named(value) if key in ("dataset", "defense") else value for key, value in data.items()}
    return validate_spec(TrainSpec, {"split": SplitSpec, "train": TrainOptions}, data, source)


def read_train_spec(path: Path) -> TrainSpec:
    """Read a training specification from a YAML file.

    Raises:
        OptionError: the file is missing, is not YAML, or does not fit.
    """
    return parse_train_spec(read_yaml(path, "training specification", "give a YAML file"), str(path))
