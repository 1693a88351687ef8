"""Training of the protected segmentation system, end to end, resumable to the same loss curve."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from diffusers.training_utils import EMAModel
from torch import Tensor

from privaudit import plugin
from privaudit._version import __version__
from privaudit.cohort import Cohort, Dataset, ScanId, Split, split_subjects
from privaudit.defense import Defense
from privaudit.devices import choose_device
from privaudit.errors import DataError, OptionError, PrivauditError
from privaudit.files import write_text
from privaudit.provenance import core_code
from privaudit.segmentation.checkpoint import Progress, load_checkpoint, save_checkpoint
from privaudit.segmentation.losses import SystemLoss
from privaudit.segmentation.networks import STEP, NetworkConfig, ProtectedSegmentation, build
from privaudit.segmentation.options import TrainOptions, TrainSpec
from privaudit.segmentation.sampling import PatchSource, Recipe
from privaudit.segmentation.validation import guesses, mean_dice, overlaps
from privaudit.segmentation.weights import (
    Weights,
    WeightsConfig,
    first_scan_hashes,
    kind_of,
    load_weights,
    save_weights,
)

WEIGHTS = Path("privaudit-weights")
CHECKPOINT, HISTORY = "checkpoint.safetensors", "history.csv"

Report = Callable[[int, dict[str, float | None]], None]
"""Called after every step with the steps done and the latest figures."""


@dataclass(frozen=True)
class Fold:
    """Who is trained on and who is validated on; victims are neither."""

    train: tuple[str, ...]
    validation: tuple[str, ...]


@dataclass(frozen=True)
class Trained:
    """A finished training: its folder and its last validation."""

    folder: Path
    scores: dict[str, float | None]
    history: list[dict[str, float | None]] = field(default_factory=list)


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
    if weights.config.network != networks.config:
        raise OptionError(
            f"the weights '{weights.name}' are of other networks",
            got=weights.config.network.model_dump(),
            allowed=networks.config.model_dump(),
            todo="start from weights of the same size, labels and kind of defense",
        )
    networks.load_state_dict(weights.networks.state_dict())
    return weights


def history_of(weights: Weights) -> dict[str, Any]:
    """What the model card tells of weights that a training started from."""
    training = weights.config.training
    return {
        "name": weights.name, "sha256": weights.digest, "dataset": weights.config.dataset["name"],
        "steps": training["steps"], "pretrained": training.get("pretrained"),
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


def folder_of(spec: TrainSpec, out: Path | None) -> Path:
    """Where a training lives: ``--out``, or a folder named after its specification."""
    return out if out is not None else WEIGHTS / f"{spec.dataset.name}-{spec.defense.name}-{spec.digest}"


class Training:
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

    def __init__(
        self, spec: TrainSpec, cohort: Cohort, dataset_params: dict[str, Any], defense: Defense, fold: Fold,
        folder: Path, device: str = "auto", command: str = "",
    ) -> None:  # fmt: skip
        self.spec, self.cohort, self.defense, self.fold, self.folder = spec, cohort, defense, fold, folder
        self._dataset_params, self._command = dataset_params, command
        options = spec.train
        self.recipe = mixing_recipe(defense, options)
        classes = max(cohort.label_names) + 1
        config = NetworkConfig(size=options.size, classes=classes, unmixing=self.recipe.alpha is not None)
        tracker = "tensorboard" if _has_tensorboard() else None
        self.accelerator = Accelerator(
            mixed_precision=options.precision, cpu=device == "cpu", log_with=tracker, project_dir=folder
        )
        # The faster layout of 3-D convolutions, on CPUs and GPUs alike.
        self.networks = build(config, spec.seed).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.pretrained = start_from(options.pretrained, self.networks)
        self.optimizer = torch.optim.Adam(self.networks.parameters(), lr=options.learning_rate)
        self.ema = EMAModel(self.networks.parameters(), decay=options.ema) if options.ema else None
        self.loss = SystemLoss(options.unmixed_weight)
        self.progress = Progress()
        started = self.pretrained.digest if self.pretrained else None
        text = json.dumps([spec.model_dump(mode="json"), list(fold.train), cohort.fingerprint, core_code(), started])
        self._key = hashlib.sha256(text.encode()).hexdigest()
        where = self.accelerator.device
        self.train_source = PatchSource(
            cohort, self._scans(fold.train), classes, self.recipe, spec.seed, where, options.hold
        )
        # A validation patch is somebody held out, mixed with anybody.
        everybody = self._scans((*fold.validation, *fold.train))
        held_out = self._scans(fold.validation)
        self._validation = PatchSource(
            cohort, everybody if self.recipe.alpha else held_out, classes, self.recipe, spec.seed + 1, where,
            options.hold, targets=held_out,
        )  # fmt: skip

    def _scans(self, people: Sequence[str]) -> list[ScanId]:
        return [scan for person in people for scan in self.cohort.sessions_of(person)]

    def run(self, report: Report = lambda step, figures: None) -> Trained:
        """Train, or finish what a kill left, and write the weights.

        Raises:
            PrivauditError: the loss is not finite; the last good checkpoint is kept.
            KeyboardInterrupt: after writing a checkpoint of the last finished step.
        """
        accelerator, options = self.accelerator, self.spec.train
        self.folder.mkdir(parents=True, exist_ok=True)
        checkpoint = self.folder / CHECKPOINT
        shadow = self.ema.shadow_params if self.ema is not None else []
        done = load_checkpoint(checkpoint, self._key, self.networks, self.optimizer, shadow)
        self.progress = done or Progress()
        if self.ema is not None:
            self.ema.optimization_step = self.progress.step
            self.ema.to(accelerator.device)
        model, optimizer = accelerator.prepare(self.networks, self.optimizer)
        if accelerator.log_with:
            accelerator.init_trackers("privaudit")
        started = time.perf_counter() - self.progress.seconds

        def save() -> None:
            self.progress.seconds = time.perf_counter() - started
            if accelerator.is_main_process:
                save_checkpoint(checkpoint, self._key, self.networks, self.optimizer, shadow, self.progress)

        try:
            while self.progress.step < options.steps:
                loss = self._step(model, optimizer)
                if not math.isfinite(loss):
                    raise PrivauditError(
                        f"the loss is not finite at step {self.progress.step + 1}",
                        got=loss,
                        todo=f"lower learning_rate; the checkpoint of an earlier step is kept in {checkpoint}",
                    )
                self.progress.losses.append(loss)
                self.progress.step += 1
                step, last = self.progress.step, self.progress.step == options.steps
                if step % options.validate_every == 0 or last:
                    self._validate(accelerator)
                if step % options.checkpoint_every == 0 or last:
                    save()
                report(step, {**(self.progress.history[-1] if self.progress.history else {}), "loss": loss})
        except KeyboardInterrupt:
            save()
            raise
        finally:
            accelerator.end_training()
        return self._finish()

    def _step(self, model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> float:
        """One step of optimisation; returns its loss, and changes nothing if that is not finite."""
        options, accelerator = self.spec.train, self.accelerator
        step = self.progress.step
        rate = options.learning_rate
        if options.schedule == "cosine":
            rate *= 0.5 * (1 + math.cos(math.pi * step / options.steps))
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = self.train_source.batch(step, options.batch, accelerator.process_index)
        model.train()
        with accelerator.autocast():
            mixed, unmixed = model(batch.image, batch.reference_map, batch.alpha)
        loss = self.loss(mixed, unmixed, batch)
        value = float(loss.detach())
        if math.isfinite(value):
            optimizer.zero_grad()
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(model.parameters(), options.clip)
            optimizer.step()
            if self.ema is not None:
                self.ema.step(self.networks.parameters())
        return value

    def _validate(self, accelerator: Accelerator) -> None:
        """Append a row to the history: mean training loss since the last one, Dice on held-out people."""
        row: dict[str, float | None] = {
            "step": float(self.progress.step), "loss": float(np.mean(self.progress.losses)), **self.score(),
        }  # fmt: skip
        self.progress.losses = []
        self.progress.history.append(row)
        accelerator.log({k: v for k, v in row.items() if v is not None}, step=self.progress.step)
        if accelerator.is_main_process:
            text = io.StringIO()
            writer = csv.DictWriter(text, fieldnames=list(row), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.progress.history)
            write_text(self.folder / HISTORY, text.getvalue())

    @torch.no_grad()
    def score(self) -> dict[str, float | None]:
        """Mean Dice over foreground structures of validation patches: mixed map, naive and learned unmixing.

        The batches are the same every time.
        """
        options, networks = self.spec.train, self.networks
        if self.ema is not None:
            self.ema.store(networks.parameters())
            self.ema.copy_to(networks.parameters())
        networks.eval()
        sums: dict[str, Tensor] = {}
        for number in range(options.validation_batches):
            batch = self._validation.batch(number, max(options.batch, 4))
            with self.accelerator.autocast():
                mixed, unmixed = networks(batch.image, batch.reference_map, batch.alpha)
            for name, guess in guesses(mixed.float(), unmixed, batch).items():
                sums[name] = sums.get(name, torch.zeros(())) + overlaps(guess, batch.target_map).cpu()
        networks.train()
        if self.ema is not None:
            self.ema.restore(networks.parameters())
        return {f"dice {name}": mean_dice(total) for name, total in sums.items()}

    def _finish(self) -> Trained:
        """Write the weights; with a moving average, that."""
        if self.ema is not None:
            self.ema.copy_to(self.networks.parameters())
        scores = {k: v for k, v in self.progress.history[-1].items() if k.startswith("dice")}
        cohort, spec, before = self.cohort, self.spec, self.pretrained
        inherited = before.config.people if before else []
        config = WeightsConfig(
            network=self.networks.config,
            labels=dict(cohort.label_names),
            voxel_mm=cohort.voxel_mm,
            patch_size=self.recipe.size,
            defense={"name": self.defense.name, **self.defense.params},
            dataset={
                "name": cohort.name,
                "kind": kind_of(cohort),
                "fingerprint": cohort.fingerprint,
                "simulated": cohort.simulated,
                "people": len(self.fold.train),
                "scans": len(self._scans(self.fold.train)),
                "validation_people": len(self.fold.validation),
                "params": {k: v for k, v in self._dataset_params.items() if k != "root"},
            },
            people=sorted({*first_scan_hashes(cohort, [*self.fold.train, *self.fold.validation]), *inherited}),
            training={
                "version": __version__,
                "options": spec.train.model_dump(mode="json", exclude={"pretrained"}),
                "split": spec.split.model_dump(mode="json"),
                "seed": spec.seed,
                "seconds": round(self.progress.seconds, 1),
                "steps": self.progress.step,
                "pretrained": None if before is None else history_of(before),
                "device": self.accelerator.device.type,
                "processes": self.accelerator.num_processes,
                "threads": torch.get_num_threads(),
                "command": self._command,
            },
            scores=scores,
        )
        if self.accelerator.is_main_process:
            save_weights(self.folder, config, self.networks.cpu())
        return Trained(self.folder, scores, self.progress.history)


def _has_tensorboard() -> bool:
    from importlib.util import find_spec

    return find_spec("tensorboard") is not None


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
    mixing_recipe(defense, spec.train)  # before data is generated or read
    cohort = dataset.open(cache=cache, jobs=jobs, quiet=quiet)
    split = split_subjects(cohort.subjects, spec.seed, spec.split.victims, spec.split.pool, spec.split.population)
    folder = folder_of(spec, out)
    numbers: list[int | None] = [None] if folds == 1 else list(range(folds))
    return [
        Training(
            spec, cohort, dataset.params, defense, choose_fold(split, spec.seed, spec.train.validation, number, folds),
            folder if number is None else folder / f"fold-{number}", device, command,
        )
        for number in numbers
    ]  # fmt: skip
