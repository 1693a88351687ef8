"""Training of a score prior by denoising score matching (Vincent, 2011; Song & Ermon, 2019)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from privaudit._version import __version__
from privaudit.contracts import plugin
from privaudit.contracts.cohort import Cohort, Dataset, Split, all_marks
from privaudit.contracts.recipe import Recipe
from privaudit.contracts.roles import assign_roles
from privaudit.devices import choose_device
from privaudit.errors import OptionError
from privaudit.files import claim
from privaudit.learning.loop import Loop
from privaudit.prior.network import ScoreNet, context_of
from privaudit.prior.noise import geometric, ncsnv2
from privaudit.prior.options import PriorSpec
from privaudit.prior.weights import Level, PriorConfig, load_prior, save_prior
from privaudit.segmentation.folds import Fold, choose_fold, describe_data, scans_of
from privaudit.segmentation.opening import WEIGHTS, check_weights_folder
from privaudit.segmentation.pretrained import history_of
from privaudit.segmentation.sampling import Batch, PatchSource

LEVELS = 10
"""Noise levels that validation looks at, and that 'geometric' trains on."""
EDM_CENTRE, EDM_SPREAD = 0.6, 1.2
"""Median of EDM's noise levels in standard deviations of the data, and spread of their logarithm (P_mean, P_std)."""
ANYWHERE = 1 / 8
"""Share of the levels drawn from any with EDM's: else the largest, where samplers start, are unlearned with time."""
MOMENTS = 16
"""Batches of eight patches that statistics of the data are taken from."""


class PriorTraining(Loop):
    """One training of a prior, opened.

    Args:
        spec: what to train.
        cohort: the data.
        dataset_params: its options, for the record.
        fold: whose patches are trained on, and whose are held out.
        folder: where weights and checkpoint go.
        device: 'auto', 'cpu', 'cuda' or 'mps'.
        command: for the model card.

    Raises:
        PrivauditError: the options do not fit the data.
    """

    scored = "held-out people; errors as a share of the trivial predictor's"
    networks: ScoreNet

    def __init__(
        self, spec: PriorSpec, cohort: Cohort, dataset_params: dict[str, Any], fold: Fold, folder: Path,
        device: str = "auto", command: str = "",
    ) -> None:  # fmt: skip
        options = spec.train
        self.spec, self.cohort, self.fold = spec, cohort, fold
        self._dataset_params, self._command = dataset_params, command
        classes = max(cohort.label_names) + 1
        recipe = Recipe(options.patch_size, None, foreground=options.foreground, flip=options.flip)
        cpu = torch.device("cpu")
        people = scans_of(cohort, fold.train)
        self._atlas = mean_of(cohort, fold.train)
        sample = PatchSource(cohort, people, classes, recipe, spec.seed, cpu, options.hold)
        self.mean, self.sd = self._moments(sample)
        self.pretrained = None if options.pretrained is None else load_prior(Path(options.pretrained))
        # The network's units are those that its weights were trained in.
        unit = self.sd if self.pretrained is None else self.pretrained.network.data_sd
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(spec.seed)
            network = ScoreNet(options.architecture, options.size, unit, options.context, options.detail)
        if self.pretrained is not None:
            old = self.pretrained.network
            if old.kind != network.kind or (old.details is not None and network.details is None):
                raise OptionError(
                    f"the prior '{self.pretrained.name}' is of another network",
                    todo="start from one of the same architecture, size and context",
                )
            # A branch for details that the old weights lack starts from nothing.
            network.load_state_dict({**network.state_dict(), **self.pretrained.network.state_dict()})
        before = self.pretrained.digest if self.pretrained else None
        identity = ["prior", spec.model_dump(mode="json"), list(fold.train), cohort.fingerprint, before]
        super().__init__(options, network, folder, identity, device)
        where = self.accelerator.device
        self._source = PatchSource(cohort, people, classes, recipe, spec.seed, where, options.hold)
        held_out = scans_of(cohort, fold.validation)
        self._validation = PatchSource(cohort, held_out, classes, recipe, spec.seed + 1, where, options.hold)
        largest = options.sigma_max
        if options.noise == "ncsnv2":
            images = torch.cat([sample.batch(number, 8).image for number in range(MOMENTS)]).flatten(1)
            largest = round(float(torch.cdist(images, images).max()), 4)
        self._levels = geometric(largest, options.sigma_min, LEVELS)
        dense = options.noise == "ncsnv2"
        self._drawn = ncsnv2(largest, options.sigma_min, options.patch_size**3) if dense else self._levels

    def compute_loss(self, model: nn.Module, step: int) -> Tensor:
        """``½ λ(σ) ‖σ s(x + σn, σ) + n‖²``, mean over voxels and patches."""
        options = self.spec.train
        batch = self._source.batch(step, options.batch, self.accelerator.process_index)
        rng = np.random.default_rng([self.spec.seed, 4, step, self.accelerator.process_index])
        ends = math.log(options.sigma_min), math.log(options.sigma_max)
        if options.noise == "log-uniform":
            drawn = np.exp(rng.uniform(*ends, size=options.batch))
        elif options.noise == "edm":
            logs = rng.normal(math.log(EDM_CENTRE * self.networks.data_sd), EDM_SPREAD, size=options.batch)
            anywhere = rng.random(options.batch) < ANYWHERE
            drawn = np.exp(np.where(anywhere, rng.uniform(*ends, size=options.batch), logs.clip(*ends)))
        else:
            drawn = rng.choice(self._drawn, size=options.batch)
        sigma = torch.tensor(drawn, dtype=torch.float32, device=batch.image.device)
        generator = torch.Generator().manual_seed(int(rng.integers(2**62)))
        with self.accelerator.autocast():
            errors = self._errors(model, batch, sigma, generator, seen=True)
        return 0.5 * (self.networks.emphasis(sigma) * errors).mean()

    def _errors(
        self, model: nn.Module, batch: Batch, sigma: Tensor, generator: torch.Generator, seen: bool = False
    ) -> Tensor:
        """Mean over voxels of ``(σ s + n)²`` for each patch [B]; ``seen`` are people whom the atlas is made of."""
        noise = torch.randn(batch.image.shape, generator=generator).to(batch.image)
        level = sigma.reshape(-1, 1, 1, 1, 1)
        context = self._context(batch, seen)
        found: Tensor = (level * model(batch.image + level * noise, sigma, context) + noise).float()
        return found.square().flatten(1).mean(dim=1)

    def _context(self, batch: Batch, seen: bool) -> Tensor | None:
        """What the network is told. An atlas with the patch's own person in it would tell what none does in use."""
        kind, size = self.spec.train.context, self.spec.train.patch_size
        atlas = self._atlas.to(batch.image.device)
        context = context_of(kind, batch.corners, size, atlas)
        if kind != "atlas" or context is None:
            return context
        mirrored = context_of(kind, batch.corners, size, atlas.flip(0))
        assert mirrored is not None
        context = torch.where(batch.mirrored[:, None, None, None, None], mirrored, context)
        people = len(self.fold.train)
        if seen and people > 1:
            context[:, 3:] = (people * context[:, 3:] - batch.image) / (people - 1)
        return context

    def _moments(self, source: PatchSource) -> tuple[float, float]:
        """Mean and standard deviation of what the network models: voxels, or how they differ from the atlas."""
        parts = []
        for number in range(MOMENTS):
            batch = source.batch(number, 8)
            context = self._context(batch, seen=True)
            told = context is not None and self.spec.train.context == "atlas"
            parts.append(batch.image - context[:, 3:] if told and context is not None else batch.image)
        voxels = torch.cat(parts).double()
        return round(float(voxels.mean()), 4), round(float(voxels.std()), 4)

    def measure(self) -> dict[str, float | None]:
        """Held-out error at each level, as a share of the trivial predictor's: below 1, something was learned."""
        shares: dict[str, float | None] = {}
        for level in self._levels:
            errors = []
            for number in range(self.spec.train.validation_batches):
                batch = self._validation.batch(number, self.spec.train.batch)
                sigma = torch.full((len(batch.image),), level, device=batch.image.device)
                generator = torch.Generator().manual_seed(self.spec.seed * 1000 + number)
                with self.accelerator.autocast():
                    errors.append(float(self._errors(self.networks, batch, sigma, generator).mean()))
            shares[f"sigma {level:.3g}"] = float(np.mean(errors)) / trivial_error(level, self.sd)
        return shares

    def keep(self, scores: dict[str, float | None]) -> None:
        """Write the weights folder."""
        cohort, spec, before = self.cohort, self.spec, self.pretrained
        inherited = before.config.people if before else []
        levels = [
            Level(sigma=sigma, error=share * trivial_error(sigma, self.sd), trivial=trivial_error(sigma, self.sd))
            for sigma, share in zip(self._levels, scores.values(), strict=True)
            if share is not None
        ]
        config = PriorConfig(
            voxel_mm=cohort.voxel_mm,
            patch_size=spec.train.patch_size,
            mean=self.mean,
            sd=self.sd,
            levels=levels,
            dataset=describe_data(cohort, self.fold, self._dataset_params),
            people=sorted({*all_marks(cohort, [*self.fold.train, *self.fold.validation]), *inherited}),
            training={
                "version": __version__,
                "split": spec.split.told,
                "seed": spec.seed,
                "pretrained": None if before is None else history_of(before.name, before.digest, before.config),
                "command": self._command,
                **self.describe(),
            },
        )
        save_prior(self.folder, config, self.networks.cpu())


def trivial_error(sigma: float, sd: float) -> float:
    """What the best predictor that takes voxels for independent Gaussians errs: the mean of ``(σ s + n)²``.

    With ``s = −(x − μ)/(v + σ²)`` it is ``v/(v + σ²)``.
    """
    return sd**2 / (sd**2 + sigma**2)


def mean_of(cohort: Cohort, people: Sequence[str]) -> Tensor:
    """Mean of people's first scans [X, Y, Z]."""
    total = torch.zeros(cohort.shape, dtype=torch.float64)
    for person in people:
        total += torch.from_numpy(cohort.load(cohort.sessions_of(person)[0]).image)
    return (total / len(people)).float()


def choose_sample(split: Split, seed: int, validation: float) -> Fold:
    """Split the attacker's population sample into training and validation.

    Raises:
        DataError: too few people.
    """
    sample = Split(victims=split.victims, pool=(), population=split.population)
    return choose_fold(sample, seed, validation)


def open_prior_training(
    spec: PriorSpec, out: Path | None = None, cache: Path | None = None, device: str = "auto", jobs: int = 1,
    quiet: bool = True, command: str = "",
) -> PriorTraining:  # fmt: skip
    """Open a training of a prior.

    Raises:
        PrivauditError: bad options or bad data.
    """
    folder = out or WEIGHTS / f"{spec.dataset.name}-prior-{spec.digest}"
    check_weights_folder(folder, spec.train.pretrained)
    choose_device(device)
    if spec.train.sigma_min >= spec.train.sigma_max:
        raise OptionError("sigma_min must be below sigma_max", got=(spec.train.sigma_min, spec.train.sigma_max))
    dataset = plugin.create("datasets", spec.dataset.name, Dataset, spec.dataset.values)
    cohort = dataset.open(cache=cache, jobs=jobs, quiet=quiet)
    cohort.prepare(cohort.scans, jobs, quiet)
    fold = choose_sample(assign_roles(cohort.subjects, spec.split, spec.seed), spec.seed, spec.train.validation)
    training = PriorTraining(spec, cohort, dataset.params, fold, folder, device, command)
    claim(folder, "weights")
    return training
