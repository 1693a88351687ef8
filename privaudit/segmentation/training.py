"""Training of the protected segmentation system, end to end, resumable to the same loss curve."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from privaudit import plugin
from privaudit._version import __version__
from privaudit.cohort import Cohort, Dataset, ScanId, Split, all_marks, split_subjects
from privaudit.defense import Defense
from privaudit.devices import choose_device
from privaudit.errors import DataError, OptionError
from privaudit.learning.loop import Loop
from privaudit.segmentation.losses import SystemLoss
from privaudit.segmentation.networks import STEP, NetworkConfig, ProtectedSegmentation, build
from privaudit.segmentation.options import TrainOptions, TrainSpec
from privaudit.segmentation.sampling import PatchSource, Recipe
from privaudit.segmentation.validation import guesses, mean_dice, overlaps
from privaudit.segmentation.weights import (
    Weights,
    WeightsConfig,
    load_weights,
    save_weights,
)

WEIGHTS = Path("privaudit-weights")


@dataclass(frozen=True)
class Fold:
    """Who is trained on and who is validated on; victims are neither."""

    train: tuple[str, ...]
    validation: tuple[str, ...]


def mixing_recipe(defense: Defense, train: TrainOptions) -> Recipe:
    """How examples are made for a defense: its own mixing options where it mixes, raw patches where it does not.

    Raises:
        OptionError: the defense cannot be trained for by this loop.
    """
    size = train.patch_size or defense.patch_size or 32
    if size % STEP or size < 2 * STEP:
        raise OptionError(
            "the networks take patches whose sides are multiples of 16", got=size, allowed="32, 48, 64, …",
            todo="choose another patch_size",
        )  # fmt: skip
    return replace(defense.training_recipe(size), foreground=train.foreground, flip=train.flip)


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


def choose_fold(split: Split, seed: int, validation: float, fold: int | None = None, folds: int = 1) -> Fold:
    """Split the people who are no victims into training and validation, by a seeded hash of their names.

    Args:
        split: of the whole cohort.
        seed: of the training.
        validation: share of the people held out; ignored with folds.
        fold: which fold, from 0, or None.
        folds: how many folds.

    Raises:
        DataError: too few people.
    """
    people = sorted(
        (*split.pool, *split.population), key=lambda s: hashlib.sha256(f"{seed}:validation:{s}".encode()).hexdigest()
    )
    count = max(1, round(len(people) * validation))
    held = people[:count] if fold is None else people[fold::folds]
    rest = [person for person in people if person not in set(held)]
    if not held or len(rest) < 2:
        raise DataError(
            "too few people to train and validate on", got=len(people), allowed="at least 3 beside the victims"
        )
    return Fold(tuple(sorted(rest)), tuple(sorted(held)))


def scans_of(cohort: Cohort, people: Sequence[str]) -> list[ScanId]:
    """Every scan of some people."""
    return [scan for person in people for scan in cohort.sessions_of(person)]


def folder_of(spec: TrainSpec, out: Path | None) -> Path:
    """Where a training lives: ``--out``, or a folder named after its specification."""
    return out if out is not None else WEIGHTS / f"{spec.dataset.name}-{spec.defense.name}-{spec.digest}"


class Training(Loop):
    """One training, opened: data, networks, optimiser. Everything that can be checked is checked here.

    Args:
        spec: what to train.
        cohort: the data.
        dataset_params: its options, for the record.
        defense: the scheme.
        fold: who is trained on.
        folder: where weights and checkpoint go.
        device: 'auto', 'cpu', 'cuda' or 'mps'; accelerate chooses for 'auto' and places several processes.
        command: for the model card.

    Raises:
        PrivauditError: the options do not fit the data.
    """

    scored = "patches of held-out people"

    def __init__(
        self, spec: TrainSpec, cohort: Cohort, dataset_params: dict[str, Any], defense: Defense, fold: Fold,
        folder: Path, device: str = "auto", command: str = "",
    ) -> None:  # fmt: skip
        options = spec.train
        self.spec, self.cohort, self.defense, self.fold = spec, cohort, defense, fold
        self._dataset_params, self._command = dataset_params, command
        self.recipe = mixing_recipe(defense, options)
        classes = max(cohort.label_names) + 1
        config = NetworkConfig(
            size=options.size, classes=classes, unmixing=self.recipe.alpha is not None, client=defense.client
        )
        # The faster layout of 3-D convolutions, on CPUs and GPUs alike.
        system = build(config, spec.seed).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.system: ProtectedSegmentation = system
        self.pretrained = start_from(options.pretrained, system)
        before = self.pretrained.digest if self.pretrained else None
        identity = [spec.model_dump(mode="json"), list(fold.train), cohort.fingerprint, before]
        super().__init__(options, self._open(), folder, identity, device)
        self.loss = SystemLoss(options.unmixed_weight)
        self._open_data(classes)

    def _open(self) -> nn.Module:
        """All that is trained: the networks of the scheme, and what a subclass trains beside them."""
        return self.system

    def _open_data(self, classes: int) -> None:
        """Where examples come from."""
        cohort, fold, options = self.cohort, self.fold, self.spec.train
        where, seed = self.accelerator.device, self.spec.seed
        self.train_source = PatchSource(
            cohort, scans_of(cohort, fold.train), classes, self.recipe, seed, where, options.hold
        )
        # A validation patch is somebody held out, mixed with anybody.
        everybody = scans_of(cohort, (*fold.validation, *fold.train))
        held_out = scans_of(cohort, fold.validation)
        self._validation = PatchSource(
            cohort, everybody if self.recipe.alpha else held_out, classes, self.recipe, seed + 1, where,
            options.hold, targets=held_out,
        )  # fmt: skip

    def compute_loss(self, model: nn.Module, step: int) -> Tensor:
        """Loss of one batch."""
        batch = self.train_source.batch(step, self.options.batch, self.accelerator.process_index)
        with self.accelerator.autocast():
            mixed, unmixed = model(batch.image, batch.reference_map, batch.alpha)
        return self.loss(mixed, unmixed, batch)

    def measure(self) -> dict[str, float | None]:
        """Mean Dice over foreground structures of validation patches: mixed map, naive and learned unmixing."""
        options, networks = self.options, self.system
        sums: dict[str, Tensor] = {}
        for number in range(options.validation_batches):
            batch = self._validation.batch(number, max(options.batch, 4))
            with self.accelerator.autocast():
                mixed, unmixed = networks(batch.image, batch.reference_map, batch.alpha)
            for name, guess in guesses(mixed.float(), unmixed, batch).items():
                sums[name] = sums.get(name, torch.zeros(())) + overlaps(guess, batch.target_map).cpu()
        return {f"dice {name}": mean_dice(total) for name, total in sums.items()}

    def keep(self, scores: dict[str, float | None]) -> None:
        """Write the weights folder."""
        cohort, spec, before = self.cohort, self.spec, self.pretrained
        inherited = before.config.people if before else []
        config = WeightsConfig(
            network=self.system.config,
            labels=dict(cohort.label_names),
            voxel_mm=cohort.voxel_mm,
            patch_size=self.recipe.size,
            defense={"name": self.defense.name, **_shape_of(self.defense)},
            dataset=describe_data(cohort, self.fold, self._dataset_params),
            people=sorted({*all_marks(cohort, [*self.fold.train, *self.fold.validation]), *inherited}),
            training={
                "version": __version__,
                "split": spec.split.model_dump(mode="json"),
                "seed": spec.seed,
                "pretrained": None if before is None else history_of(before.name, before.digest, before.config),
                "command": self._command,
                "collapsed": self.flaws(scores),
                "doubts": self.doubts(scores),
                **self.describe(),
            },
            scores=scores,
        )
        save_weights(self.folder, config, self.system.cpu())


def _shape_of(defense: Defense) -> dict[str, Any]:
    """Its options, but for where its weights lie: they are these."""
    return {name: value for name, value in defense.params.items() if defense.client == "none" or name != "weights"}


def describe_data(cohort: Cohort, fold: Fold, params: dict[str, Any]) -> dict[str, Any]:
    """What the model card says of the data; nobody is named."""
    return {
        "name": cohort.name,
        "kind": cohort.kind,
        "fingerprint": cohort.fingerprint,
        "simulated": cohort.simulated,
        "people": len(fold.train),
        "scans": len(scans_of(cohort, fold.train)),
        "validation_people": len(fold.validation),
        "params": {k: v for k, v in params.items() if k != "root"},
    }


def training_of(defense: Defense) -> type[Training]:
    """How a defense is trained for.

    Raises:
        OptionError: it was told to use weights.
    """
    from privaudit.segmentation import rivals  # builds on this module

    wanted = defense.params.get("weights", "auto") if defense.client != "none" else "auto"
    if wanted != "auto":
        raise OptionError(
            f"a training for '{defense.name}' makes weights", got=f"--{defense.name}.weights {wanted}",
            todo="leave that out; --pretrained names weights to start from",
        )  # fmt: skip
    kinds: dict[str, type[Training]] = {
        "none": Training, "proxy": rivals.PrivacyNetTraining, "velocity": rivals.DeformationTraining,
    }  # fmt: skip
    return kinds[defense.client]


def open_training(
    spec: TrainSpec, out: Path | None = None, cache: Path | None = None, device: str = "auto", jobs: int = 1,
    quiet: bool = True, command: str = "", folds: int = 1,
) -> list[Training]:  # fmt: skip
    """Open one training, or one for each fold of a cross-validation by subject.

    Raises:
        PrivauditError: bad options or bad data.
    """
    choose_device(device)  # one that is not there is an error, not a slow training
    dataset = plugin.create("datasets", spec.dataset.name, Dataset, spec.dataset.values)
    defense = plugin.create("defenses", spec.defense.name, Defense, spec.defense.values)
    kind, _ = training_of(defense), mixing_recipe(defense, spec.train)  # before data is generated or read
    cohort = dataset.open(cache=cache, jobs=jobs, quiet=quiet)
    split = split_subjects(cohort.subjects, spec.seed, spec.split.victims, spec.split.pool, spec.split.population)
    folder = folder_of(spec, out)
    numbers: list[int | None] = [None] if folds == 1 else list(range(folds))
    return [
        kind(
            spec, cohort, dataset.params, defense, choose_fold(split, spec.seed, spec.train.validation, number, folds),
            folder if number is None else folder / f"fold-{number}", device, command,
        )
        for number in numbers
    ]  # fmt: skip
