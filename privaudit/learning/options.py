"""Options of the loop."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from privaudit.contracts.options import PluginOptions


class LoopOptions(PluginOptions):
    """How to optimise, whatever is trained."""

    pretrained: str | None = Field(default=None, description="weights to start from: a folder, or shipped ones by name")
    steps: Annotated[int, Field(ge=1, le=10**9)] = Field(default=600, description="optimiser steps")
    batch: Annotated[int, Field(ge=1, le=4096)] = Field(default=4, description="patches per step and process")
    learning_rate: Annotated[float, Field(gt=0)] = Field(default=2e-3, description="of Adam")
    schedule: Literal["constant", "cosine"] = Field(default="cosine", description="of the learning rate")
    ema: Annotated[float, Field(ge=0, lt=1)] = Field(
        default=0.99, description="decay of the weights' moving average, which is what is saved; 0 for none"
    )
    clip: Annotated[float, Field(gt=0)] = Field(default=1.0, description="largest norm of the gradient")
    precision: Literal["no", "bf16"] = Field(default="no", description="mixed precision, as accelerate names it")
    flip: bool = Field(default=True, description="mirror patches left to right at random")
    validation: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.15, description="share of the training people who are held out to validate on"
    )
    validate_every: Annotated[int, Field(ge=1)] = Field(default=200, description="steps between validations")
    validation_batches: Annotated[int, Field(ge=1)] = Field(default=8, description="batches per validation")
    checkpoint_every: Annotated[int, Field(ge=1)] = Field(default=100, description="steps between checkpoints")
    hold: Annotated[int, Field(ge=2, le=10**6)] = Field(default=256, description="scans held on the device at a time")
