"""The state of a training in one safetensors file: nothing is pickled, and the old one stays until the new is whole."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from privaudit.errors import OptionError, PrivauditError, WriteError, short
from privaudit.files import atomic_path


@dataclass
class Progress:
    """How far a training has come.

    Attributes:
        step: steps done.
        seconds: time taken, over all sessions.
        history: one row per validation.
        losses: of the steps since the last row.
    """

    step: int = 0
    seconds: float = 0.0
    history: list[dict[str, float | None]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


def save_checkpoint(
    path: Path, key: str, model: nn.Module, optimizer: torch.optim.Adam, shadow: list[Tensor], progress: Progress
) -> None:
    """Write everything that a resumed training needs.

    Raises:
        PrivauditError: the disk is full or the file cannot be written; the previous checkpoint is still there.
    """
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    tensors |= {f"ema.{number}": tensor for number, tensor in enumerate(shadow)}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"adam.{number}.{name}": torch.as_tensor(value) for name, value in state.items()}
    metadata = {"key": key, "progress": json.dumps(vars(progress))}
    try:
        with atomic_path(path) as temporary:
            save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, temporary, metadata=metadata)
    except (WriteError, SafetensorError) as error:
        raise WriteError(
            f"the checkpoint {path} could not be written: {error}",
            todo="make room, and start the same command again: the previous checkpoint is whole",
        ) from None


def load_checkpoint(
    path: Path, key: str, model: nn.Module, optimizer: torch.optim.Adam, shadow: list[Tensor]
) -> Progress | None:
    """Restore a training; None where there is no checkpoint.

    Raises:
        OptionError: it is of another training, whose work a fresh start would overwrite.
        PrivauditError: the file is damaged.
    """
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("key") != key:
                raise OptionError(
                    f"{path} is the checkpoint of another training",
                    got="other options, other data or another version of the code than it was written with",
                    todo="give another --out, or remove the file to start afresh",
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if not all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
            raise ValueError("a number is not finite")
        progress = Progress(**json.loads(metadata["progress"]))
        model.load_state_dict(_part(tensors, "model."))
        for number, tensor in enumerate(shadow):
            tensor.copy_(tensors[f"ema.{number}"])
        state: dict[int, dict[str, Any]] = {}
        for name, tensor in _part(tensors, "adam.").items():
            parameter, _, what = name.partition(".")
            state.setdefault(int(parameter), {})[what] = tensor
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    except PrivauditError:
        raise
    except Exception as error:  # what libraries say of a broken file can be anything
        raise PrivauditError(f"the checkpoint {path} is damaged: {short(error)}", todo="remove it") from None
    return progress


def _part(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
