"""Training examples: patches of random people, mixed on the training device.

Every batch is drawn from a generator seeded by (seed, step), so a resumed training sees what an unbroken one would.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from privaudit.contracts.cohort import Cohort, ScanId
from privaudit.contracts.recipe import Recipe
from privaudit.errors import DataError, OptionError
from privaudit.imaging.mixing import combine

FOREGROUND_SEEDS = 4096
"""Voxels kept per scan from which patches are placed over labelled tissue."""


@dataclass(frozen=True)
class Batch:
    """Training examples; maps are [B, C, *patch], images [B, 1, *patch], α [B]. Nothing is mixed where α is None.

    ``corners`` [B, 3] is where the targets were cut; a mirrored one counts as cut from the mirrored volume, and
    ``mirrored`` [B] says which are.
    """

    corners: Tensor
    mirrored: Tensor
    image: Tensor
    mixed_map: Tensor
    target_map: Tensor
    reference_map: Tensor | None
    alpha: Tensor | None


class PatchSource:
    """Scans on the training device, at most ``hold`` at a time, from which batches are cut.

    Where there are more, one slot is refilled every ``turn`` steps in a fixed order, so that every scan is seen and
    which ones are held depends on the step alone. With ``targets``, only those are targets; others are references.
    """

    def __init__(
        self,
        cohort: Cohort,
        scans: Sequence[ScanId],
        classes: int,
        recipe: Recipe,
        seed: int,
        device: torch.device,
        hold: int = 256,
        turn: int = 20,
        targets: Sequence[ScanId] | None = None,
    ) -> None:
        if recipe.size > min(cohort.shape):
            raise OptionError("the patch does not fit the volume", got=f"{recipe.size} in {cohort.shape}")
        if recipe.alpha is not None and len({scan.subject for scan in scans}) <= recipe.references:
            raise DataError(
                "mixing needs more people to train on than references per mixture",
                got=f"{len({scan.subject for scan in scans})} people, {recipe.references} references",
                todo="give the splits 'pool' and 'population' more people",
            )
        self._cohort, self._classes, self._recipe, self._seed, self._device = cohort, classes, recipe, seed, device
        order = np.random.default_rng([seed, 1]).permutation(len(scans))
        self._scans = [scans[i] for i in order]
        self._hold, self._turn = min(hold, len(scans)), turn
        # Where only some may be targets, those come first and stay.
        self._targets = self._hold if targets is None else min(len(targets), self._hold)
        if targets is not None:
            wanted = set(targets)
            self._scans.sort(key=lambda scan: scan not in wanted)
            self._turn = sys.maxsize
        self._slots: list[int] = []
        self._images: list[Tensor] = []
        self._labels: list[Tensor] = []
        self._seeds: list[Tensor] = []

    def batch(self, step: int, count: int, rank: int = 0) -> Batch:
        """Return the examples of one step: a function of the seed, the step and the process alone."""
        self._hold_for(step)
        rng = np.random.default_rng([self._seed, 2, step, rank])
        r = self._recipe
        targets = rng.integers(self._targets, size=count)
        corners = [self._corner(rng, int(slot)) for slot in targets]
        mirrored = rng.random(count) < 0.5 if r.flip else np.zeros(count, dtype=bool)
        image, target = self._cut(targets, corners, mirrored)
        size, width = r.size, self._cohort.shape[0]
        placed = [(width - size - x if flip else x, y, z) for (x, y, z), flip in zip(corners, mirrored, strict=True)]
        where, flags = torch.tensor(placed, device=self._device), torch.from_numpy(mirrored).to(self._device)
        if r.alpha is None:
            return Batch(where, flags, image, target, target, None, None)
        low, high = r.alpha
        alpha = torch.tensor(high - (high - low) * rng.random(count), dtype=torch.float32, device=self._device)
        others = np.stack([self._others(rng, int(slot), r.references) for slot in targets])
        places = corners if r.aligned else [self._corner(rng, int(slot)) for slot in targets]
        pieces = [self._cut(others[:, j], places, mirrored) for j in range(r.references)]
        shares = np.full((count, r.references), 1.0) if r.equal else rng.exponential(size=(count, r.references))
        weights = torch.tensor(shares / shares.sum(axis=1, keepdims=True), dtype=torch.float32, device=self._device)
        reference = combine(torch.stack([piece[0] for piece in pieces], dim=1), weights)
        reference_map = combine(torch.stack([piece[1] for piece in pieces], dim=1), weights)
        spread = alpha[:, None, None, None, None]
        mixed = torch.lerp(reference, image, spread)
        return Batch(where, flags, mixed, torch.lerp(reference_map, target, spread), target, reference_map, alpha)

    def _others(self, rng: np.random.Generator, slot: int, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Slots of other people than the target's."""
        subject = self._scans[self._slots[slot]].subject
        free = np.array([i for i, scan in enumerate(self._slots) if self._scans[scan].subject != subject])
        return rng.choice(free, size=count, replace=len(free) < count)

    def _corner(self, rng: np.random.Generator, slot: int) -> tuple[int, int, int]:
        size, shape = self._recipe.size, self._cohort.shape
        seeds = self._seeds[slot]
        if len(seeds) and rng.random() < self._recipe.foreground:
            centre = seeds[int(rng.integers(len(seeds)))].tolist()
            wanted = [c - int(rng.integers(size)) for c in centre]
        else:
            wanted = [int(rng.integers(side - size + 1)) for side in shape]
        x, y, z = (min(max(w, 0), side - size) for w, side in zip(wanted, shape, strict=True))
        return x, y, z

    def _cut(
        self, slots: np.ndarray[tuple[int], np.dtype[np.int64]], corners: Sequence[tuple[int, int, int]],
        mirrored: np.ndarray[tuple[int], np.dtype[np.bool_]],
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Image patches [B, 1, *patch] and one-hot labels [B, C, *patch]."""
        s, images, maps = self._recipe.size, [], []
        for slot, (x, y, z), flip in zip(slots.tolist(), corners, mirrored.tolist(), strict=True):
            box = (slice(x, x + s), slice(y, y + s), slice(z, z + s))
            image, labels = self._images[slot][box], self._labels[slot][box]
            images.append(image.flip(0) if flip else image)
            maps.append(labels.flip(0) if flip else labels)
        one_hot = torch.nn.functional.one_hot(torch.stack(maps).long(), self._classes)
        return torch.stack(images)[:, None].float(), one_hot.movedim(-1, 1).float()

    def _hold_for(self, step: int) -> None:
        """Make the slots hold what they should at ``step``."""
        total, turns = len(self._scans), (step // self._turn if self._hold < len(self._scans) else 0)
        for slot in range(self._hold):
            # Slot s has been refilled once for each turn t ≤ turns with t ≡ s + 1 (mod hold).
            refills = (turns - slot - 1) // self._hold + 1 if turns > slot else 0
            wanted = slot if refills == 0 else (self._hold + slot + (refills - 1) * self._hold) % total
            if slot == len(self._slots):
                self._slots.append(-1)
                self._images.append(torch.empty(0))
                self._labels.append(torch.empty(0))
                self._seeds.append(torch.empty(0))
            if self._slots[slot] != wanted:
                self._load(slot, wanted)

    def _load(self, slot: int, index: int) -> None:
        volume = self._cohort.load(self._scans[index])
        self._slots[slot] = index
        self._images[slot] = torch.from_numpy(np.array(volume.image)).to(self._device, torch.float16)
        self._labels[slot] = torch.from_numpy(np.array(volume.labels)).to(self._device)
        rng = np.random.default_rng([self._seed, 3, index])
        present = [label for label in range(1, self._classes) if (volume.labels == label).any()]
        seeds = []
        for label in present:
            places = np.argwhere(volume.labels == label)
            seeds.append(places[rng.integers(len(places), size=FOREGROUND_SEEDS // len(present))])
        self._seeds[slot] = torch.from_numpy(np.concatenate(seeds) if seeds else np.empty((0, 3), dtype=np.int64))
