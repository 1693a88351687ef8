"""What a training is: its specification, presets included."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from privaudit.contracts.defense import Defense
from privaudit.errors import OptionError
from privaudit.learning.discriminator import Backbone
from privaudit.learning.options import LoopOptions
from privaudit.segmentation.server_net import STEP, Size
from privaudit.specs import PluginSpec, Seed, SplitSpec, digest_of, named, read_yaml, validate_spec

Preset = Literal["quick", "standard", "paper"]


class TrainOptions(LoopOptions):
    """How to train segmentation networks. The presets set these; any may be overridden."""

    size: Size = Field(default="tiny", description="channels of the networks")
    patch_size: Annotated[int, Field(ge=2 * STEP, multiple_of=STEP)] | None = Field(
        default=None, description="side of the patches in voxels; null for the defense's, or 32"
    )
    unmixed_weight: Annotated[float, Field(gt=0)] = Field(default=1.0, description="weight of the unmixed map's loss")
    foreground: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0.5, description="share of the patches placed over labelled tissue, every label as often"
    )
    adversary: Annotated[float, Field(ge=0)] = Field(
        default=1.0, description="privacy-net, deformation: λ, weight of the discriminator's loss against the client's"
    )
    discriminator: Backbone = Field(
        default="resnet10", description="privacy-net, deformation: who tells people apart; 'densenet121' as published"
    )
    invertibility: Annotated[float, Field(ge=0)] = Field(
        default=1.0, description="deformation: weight of what unwarping does not undo (square voxels), and of folds"
    )
    diversity: Annotated[float, Field(ge=0)] = Field(
        default=1.0, description="deformation: weight of the likeness of two keys' deformations"
    )


USED_BY: Final[dict[str, Callable[[type[Defense]], bool]]] = {
    "unmixed_weight": lambda scheme: scheme.needs_pool,
    "adversary": lambda scheme: scheme.client != "none",
    "discriminator": lambda scheme: scheme.client != "none",
    "invertibility": lambda scheme: scheme.client == "velocity",
    "diversity": lambda scheme: scheme.client == "velocity",
}
"""Which schemes' trainings use an option; all use the others."""

PRESETS: Final[dict[Preset, dict[str, Any]]] = {
    "quick": {},
    "standard": {
        "size": "small", "steps": 20_000, "batch": 16, "learning_rate": 1e-3, "ema": 0.999, "precision": "bf16",
        "validate_every": 1000, "checkpoint_every": 500, "validation_batches": 16, "discriminator": "densenet121",
    },
    "paper": {
        "size": "paper", "steps": 200_000, "batch": 4, "learning_rate": 1e-4, "schedule": "constant", "ema": 0.0,
        "foreground": 0.0, "flip": False, "validate_every": 5000, "checkpoint_every": 1000, "validation_batches": 16,
        "discriminator": "densenet121",
    },
}  # fmt: skip
"""``quick``: minutes on two cores. ``standard``: half an hour on one data-centre GPU. ``paper``: 200,000 iterations of
batch 4, learning rate 1e-4."""


class TrainSpec(BaseModel):
    """One training."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    dataset: PluginSpec = PluginSpec(name="phantom")
    defense: PluginSpec = PluginSpec(name="mixup")
    seed: Seed = 0
    split: SplitSpec = SplitSpec()
    train: TrainOptions = TrainOptions()

    @property
    def digest(self) -> str:
        """Eight hex digits that name this training."""
        return digest_of(self)


SpecT = TypeVar("SpecT", bound=BaseModel)


def parse_train_spec(data: Any, source: str) -> TrainSpec:
    """Check a training specification; a plugin may be given by name alone.

    Raises:
        OptionError: an unknown key (the nearest one is offered) or an unusable value.
    """
    return parse_training(TrainSpec, TrainOptions, data, source)


def parse_training(model: type[SpecT], options: type[LoopOptions], data: Any, source: str) -> SpecT:
    """Check the specification of a training of any kind, whose part 'train' holds ``options``.

    Raises:
        OptionError: an unknown key (the nearest one is offered) or an unusable value.
    """
    if not isinstance(data, dict):
        raise OptionError(f"{source} is no training specification", got=type(data).__name__)
    data = {key: named(value) if key in ("dataset", "defense") else value for key, value in data.items()}
    return validate_spec(model, {"split": SplitSpec, "train": options}, data, source)


def read_training(path: Path) -> Any:
    """Read a training specification from a YAML file, unchecked.

    Raises:
        OptionError: the file is missing, or is not YAML.
    """
    return read_yaml(path, "training specification", "give a YAML file")
