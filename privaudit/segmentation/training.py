"""Training of the protected segmentation system, end to end, resumable to the same loss curve."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from privaudit._version import __version__
from privaudit.contracts.cohort import Cohort, all_marks
from privaudit.contracts.defense import Defense
from privaudit.contracts.recipe import Recipe
from privaudit.errors import OptionError
from privaudit.learning.loop import Loop
from privaudit.segmentation.folds import Fold, describe_data, scans_of
from privaudit.segmentation.losses import SystemLoss
from privaudit.segmentation.networks import NetworkConfig, ProtectedSegmentation, build
from privaudit.segmentation.options import TrainOptions, TrainSpec
from privaudit.segmentation.pretrained import history_of, start_from
from privaudit.segmentation.sampling import PatchSource
from privaudit.segmentation.server_net import STEP
from privaudit.segmentation.validation import guesses, mean_dice, overlaps
from privaudit.segmentation.weights import (
    WeightsConfig,
    save_weights,
)


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
                "split": spec.split.told,
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
