"""Starting a training from trained weights, and telling so on the model card."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from privaudit.errors import OptionError
from privaudit.segmentation.networks import ProtectedSegmentation
from privaudit.segmentation.weights import Weights, load_weights


def start_from(pretrained: str | None, networks: ProtectedSegmentation) -> Weights | None:
    """Give the networks the weights that a training should start from, if any.

    Raises:
        OptionError: there are none of that name, or they are of other networks.
    """
    if pretrained is None:
        return None
    weights = load_weights(Path(pretrained))
    if weights.config.network == networks.config:
        networks.load_state_dict(weights.networks.state_dict())
    elif weights.config.network == networks.config.model_copy(update={"client": "none"}):
        # What segments raw images learns to segment encoded ones sooner than what has seen nothing.
        networks.segmentation.load_state_dict(weights.networks.segmentation.state_dict())
    else:
        raise OptionError(
            f"the weights '{weights.name}' are of other networks",
            got=weights.config.network.model_dump(),
            allowed=networks.config.model_dump(),
            todo="start from weights of the same size, labels and kind of defense, or from such of raw images",
        )
    return weights


class Origin(Protocol):
    """What any trained weights say of themselves."""

    dataset: dict[str, Any]
    training: dict[str, Any]


def history_of(name: str, digest: str, config: Origin) -> dict[str, Any]:
    """What the model card tells of weights that a training started from."""
    before = config.training.get("pretrained")
    return {
        "name": name, "sha256": digest, "dataset": config.dataset["name"], "steps": config.training["steps"],
        "pretrained": before,
    }  # fmt: skip
