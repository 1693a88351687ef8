"""Pairs of scans for adversarial training: half of the same person in two sessions, half of different people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from privaudit.contracts.cohort import Cohort, ScanId
from privaudit.contracts.recipe import Recipe
from privaudit.errors import DataError
from privaudit.segmentation.sampling import PatchSource


@dataclass(frozen=True)
class Pairs:
    """Examples 2i and 2i + 1 make a pair.

    Attributes:
        image: [2P, 1, X, Y, Z].
        label_map: one-hot [2P, C, X, Y, Z].
        same: 1.0 where both are of the same person, else 0.0 [P].
    """

    image: Tensor
    label_map: Tensor
    same: Tensor


class PairSource(PatchSource):
    """Scans on the training device, from which pairs are cut: at the same place, and mirrored together or not at all.

    Every scan is held: pairs of one person must be there at once.

    Raises:
        DataError: nobody has two sessions.
    """

    def __init__(
        self, cohort: Cohort, scans: Sequence[ScanId], classes: int, recipe: Recipe, seed: int, device: torch.device
    ) -> None:
        super().__init__(cohort, scans, classes, recipe, seed, device, hold=len(scans))
        sessions: dict[str, list[int]] = {}
        for slot, scan in enumerate(self._scans):
            sessions.setdefault(scan.subject, []).append(slot)
        self._twice = [slots for slots in sessions.values() if len(slots) > 1]
        self._everybody = list(sessions.values())
        if not self._twice or len(self._everybody) < 2:
            raise DataError(
                "adversarial training needs pairs of scans of the same person, and of different people",
                got=f"{len(self._everybody)} people, {len(self._twice)} of them with two sessions or more",
                todo="add --rescans 2 to simulate a second session (every output will say so)",
            )

    def patches(self, step: int, count: int) -> Pairs:
        """Pairs of patches."""
        rng, slots, same, mirrored = self._draw(step, count)
        corners = [self._corner(rng, slot) for slot in slots[::2]]
        places = [corner for corner in corners for _ in range(2)]
        image, label_map = self._cut(np.array(slots), places, mirrored)
        return Pairs(image, label_map, same)

    def volumes(self, step: int, count: int) -> tuple[Pairs, list[tuple[int, int, int]]]:
        """Pairs of whole volumes, and for each scan the corner of the patch to learn segmentation on."""
        rng, slots, same, mirrored = self._draw(step, count)
        corners = [self._corner(rng, slot) for slot in slots]
        images, maps = [], []
        for slot, flip in zip(slots, mirrored.tolist(), strict=True):
            image, labels = self._images[slot], self._labels[slot]
            images.append(image.flip(0) if flip else image)
            maps.append(labels.flip(0) if flip else labels)
        width, size = self._cohort.shape[0], self._recipe.size
        placed = [(width - size - x if flip else x, y, z) for (x, y, z), flip in zip(corners, mirrored, strict=True)]
        one_hot = torch.nn.functional.one_hot(torch.stack(maps).long(), self._classes).movedim(-1, 1)
        return Pairs(torch.stack(images)[:, None].float(), one_hot.float(), same), placed

    def _draw(
        self, step: int, count: int
    ) -> tuple[np.random.Generator, list[int], Tensor, np.ndarray[tuple[int], np.dtype[np.bool_]]]:
        """Generator, slots, which pairs are of the same person, which scans are mirrored: by seed and step alone."""
        self._hold_for(step)
        rng = np.random.default_rng([self._seed, 5, step])
        slots: list[int] = []
        for number in range(count):
            if number % 2 == 0:
                owner = self._twice[int(rng.integers(len(self._twice)))]
                slots += [int(slot) for slot in rng.choice(owner, size=2, replace=False)]
            else:
                two = rng.choice(len(self._everybody), size=2, replace=False)
                slots += [int(rng.choice(self._everybody[int(person)])) for person in two]
        same = torch.tensor([float(number % 2 == 0) for number in range(count)], device=self._device)
        flips = rng.random(count) < 0.5 if self._recipe.flip else np.zeros(count, dtype=bool)
        return rng, slots, same, np.repeat(flips, 2)
