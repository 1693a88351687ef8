"""Trained weights: a folder with safetensors, a config and a model card."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from safetensors.torch import load, save
from torch import Tensor, nn

from privaudit.contracts.cohort import Cohort, require_unseen
from privaudit.errors import OptionError, PrivauditError
from privaudit.files import atomic_path, is_file, is_folder, write_text
from privaudit.segmentation.model_card import model_card
from privaudit.segmentation.networks import Elsewhere, NetworkConfig, ProtectedSegmentation, build
from privaudit.segmentation.server_net import STEP
from privaudit.validation import in_words

CONFIG, CARD = "config.json", "README.md"
SEGMENTATION, UNMIXING, CLIENT = "segmentation.safetensors", "unmixing.safetensors", "client.safetensors"
SHIPPED = Path(__file__).parent / "shipped"


class WeightsConfig(BaseModel):
    """What the weights are for, and what made them.

    Attributes:
        network: how to build the networks.
        labels: the classes, by label value, background included.
        voxel_mm: voxel size they were trained at.
        patch_size: side of the training patches.
        defense: name and options they were trained for.
        dataset: name, options, fingerprint and number of people they were trained on.
        people: marks of the training people (:meth:`.Cohort.marks_of`): nobody of them is tested.
        training: options, steps done, seconds, device, version.
        scores: Dice on held-out people's patches, by method and structure.
        sha256: of the networks' files one after another; None where a version wrote them that told none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    network: NetworkConfig
    labels: dict[int, str]
    voxel_mm: Annotated[float, Field(gt=0)]
    patch_size: Annotated[int, Field(ge=2 * STEP, le=1024, multiple_of=STEP)]
    defense: dict[str, Any]
    dataset: dict[str, Any]
    people: list[str]
    training: dict[str, Any]
    scores: dict[str, float | None]
    sha256: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> WeightsConfig:
        if list(self.labels) != list(range(self.network.classes)):
            raise ValueError(f"there are {self.network.classes} classes, and labels for {list(self.labels)}")
        check_origin(self.defense, ("name",))
        check_origin(self.dataset, ("name", "kind"))
        for told in ("collapsed", "doubts"):
            if not all(isinstance(word, str) for word in self.training.get(told, ())):
                raise ValueError(f"training.{told} is no list of texts")
        return self


@dataclass(frozen=True)
class Weights:
    """Networks in evaluation mode, their config and folder, and the hash of what was read (12 hex digits)."""

    name: str
    folder: Path
    config: WeightsConfig
    networks: ProtectedSegmentation
    digest: str


def save_weights(folder: Path, config: WeightsConfig, networks: ProtectedSegmentation) -> None:
    """Write the folder; each file atomically, the config last.

    Raises:
        WriteError: the disk is full or the folder cannot be written.
    """
    hasher = hashlib.sha256()
    for name, module in _files(networks).items():
        data = save(_tensors(module.state_dict()))
        hasher.update(data)
        with atomic_path(folder / name) as temporary:
            temporary.write_bytes(data)
    config = config.model_copy(update={"sha256": hasher.hexdigest()})
    write_text(folder / CARD, model_card(folder.name, config, networks))
    write_text(folder / CONFIG, json.dumps(config.model_dump(mode="json"), indent=1) + "\n")


def _files(networks: ProtectedSegmentation) -> dict[str, nn.Module]:
    """The networks by the name of the file that holds each."""
    found = {SEGMENTATION: networks.segmentation, UNMIXING: networks.unmixing, CLIENT: networks.client}
    return {name: module for name, module in found.items() if not isinstance(module, Elsewhere | None)}


def _tensors(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}


def find_weights(folder: Path) -> Path:
    """Return the folder itself, or that of shipped weights of this name.

    Raises:
        OptionError: neither is there.
    """
    if len(folder.parts) == 1 and not is_folder(folder) and is_file(SHIPPED / folder.name / CONFIG):
        folder = SHIPPED / folder.name
    if not is_file(folder / CONFIG):
        names = ", ".join(path.name for path in shipped()) or "none"
        raise OptionError(
            "no trained weights there", got=folder, allowed=f"a folder with {CONFIG}, or shipped weights: {names}",
            todo="train some with 'privaudit train'",
        )  # fmt: skip
    return folder


def load_weights(folder: Path, server: bool = True) -> Weights:
    """Read a folder that ``privaudit train`` wrote, or shipped weights by name.

    Without the server's network (``server``) its file need not be there; where it is, the hash still covers it.

    Raises:
        OptionError: nothing is there, or it is no weights folder.
        PrivauditError: it is damaged.
    """
    folder = find_weights(folder)
    try:
        config = read_config(folder)
        networks, hasher = build(config.network, seed=0, server=server), hashlib.sha256()
        whole = server or is_file(folder / SEGMENTATION)
        if whole and not server:
            hasher.update((folder / SEGMENTATION).read_bytes())
        for name, module in _files(networks).items():
            data = (folder / name).read_bytes()
            module.load_state_dict(load(data))
            hasher.update(data)
        check_tensors(networks, hasher.hexdigest(), config.sha256 if whole else None)
    except Exception as error:  # what libraries say of a broken file can be anything
        raise unreadable("weights", folder, error, WeightsConfig) from None
    return Weights(folder.name, folder, config, networks.eval(), hasher.hexdigest()[:12])


def unreadable(what: str, folder: Path, error: Exception, config: type[BaseModel]) -> PrivauditError:
    """One line about a folder of something trained that is damaged; ``config`` is what its config file becomes."""
    reason = in_words(error, config)
    return PrivauditError(f"the {what} in {folder} cannot be read: {reason}", todo="train or copy them again")


def check_tensors(network: nn.Module, found: str, told: str | None) -> None:
    """Refuse numbers that are not those which were trained.

    Args:
        network: as loaded.
        found: hash of the files.
        told: hash of what was written; None where it is not known.

    Raises:
        ValueError: a number is not finite, or the hashes differ.
    """
    if told not in (None, found):
        raise ValueError("the numbers are not those that were trained: their hash differs from that in the config")
    if not all(bool(torch.isfinite(tensor).all()) for tensor in network.state_dict().values()):
        raise ValueError("a number is not finite")


def check_origin(data: Mapping[str, Any], needed: Sequence[str]) -> None:
    """Refuse a description without what is read of it later.

    Raises:
        ValueError: something is missing, or is no text.
    """
    for name in needed:
        if not isinstance(data.get(name), str):
            raise ValueError(f"'{name}' is missing, or is no text")


def read_config(folder: Path) -> WeightsConfig:
    """Read what weights are for, without the weights themselves."""
    return WeightsConfig.model_validate_json((folder / CONFIG).read_text(encoding="utf-8"))


def shipped() -> list[Path]:
    """Folders of the weights that come with the package, by name."""
    return sorted(path.parent for path in SHIPPED.glob(f"*/{CONFIG}"))


def find_shipped(defense: str, cohort: Cohort, patch_size: int | None) -> Weights | None:
    """The shipped weights for this defense that fit the cohort and come from the same kind of people, or None."""
    for folder in shipped():
        config = read_config(folder)
        right = config.defense["name"] == defense and config.dataset["kind"] == cohort.kind
        if right and misfit(config, cohort, patch_size) is None:
            return load_weights(folder)
    return None


def why_unfit(defense: str, cohort: Cohort, patch_size: int | None) -> str:
    """Why each of the shipped weights for a defense does not fit, in words."""
    told = []
    for folder in shipped():
        config = read_config(folder)
        if config.defense["name"] == defense:
            kind = config.dataset["kind"]
            reason = misfit(config, cohort, patch_size) or f"trained on {kind} people, not {cohort.kind} ones"
            told.append(f"'{folder.name}' was {reason}")
    return "; ".join(told) or f"none come with privaudit for '{defense}'"


def how_to_train(cohort: Cohort, defense: str, option: str) -> str:
    """What to do where no shipped weights fit."""
    return (
        f"train some: privaudit train --dataset {cohort.name} --defense {defense} --out DIR, with the dataset's options"
        f" as here, then {option} DIR"
    )


def misfit(config: WeightsConfig, cohort: Cohort, patch_size: int | None) -> str | None:
    """Why the weights cannot be used on a cohort and patches of this size, in words; None if they can."""
    if config.labels != dict(cohort.label_names):
        return f"trained for the labels {list(config.labels.values())}, not {list(cohort.label_names.values())}"
    if abs(config.voxel_mm - cohort.voxel_mm) > 0.05:
        return f"trained at {config.voxel_mm:g} mm, not {cohort.voxel_mm:g} mm"
    if patch_size is not None and patch_size != config.patch_size:
        return f"trained on patches of {config.patch_size}, not {patch_size}"
    return None


def require_fit(weights: Weights, cohort: Cohort, defense: str, patch_size: int | None, victims: Iterable[str]) -> None:
    """Refuse weights that cannot be used here, or that have seen the people under test.

    Raises:
        OptionError: they are for another task, or for another defense, or a victim was trained on.
    """
    reason = misfit(weights.config, cohort, patch_size)
    if reason is None and weights.config.defense["name"] not in (defense, "none"):
        reason = f"trained for the defense '{weights.config.defense['name']}', not '{defense}'"
    if reason is not None:
        raise OptionError(
            f"the weights '{weights.name}' do not fit: {reason}", todo="train some with 'privaudit train'"
        )
    require_unseen(f"the weights '{weights.name}' were", weights.config.people, cohort, victims)
