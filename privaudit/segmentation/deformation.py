"""Deformation-Proxy (Kim et al., BMVC 2021): a generator of deformations against a discriminator of identities."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from privaudit.imaging.deformation import coarse_shape, integrate, jacobian, resize, warp
from privaudit.imaging.patches import Shape
from privaudit.segmentation.clients import KEY_SIZE, VelocityGenerator
from privaudit.segmentation.pairs import Pairs, PairSource
from privaudit.segmentation.rivals import JUDGING, RivalTraining
from privaudit.segmentation.validation import mean_dice, overlaps

STILL: Final = 0.25
"""Voxels: deformations, or differences between two keys' ones, below this hide nothing."""
APART: Final = 0.5
"""Mean difference between two keys' velocities, in units of the strength, from which more is not asked for."""


class DeformationTraining(RivalTraining):
    """Generator of deformations, segmentation of patches of warped volumes, discriminator of pairs of whole ones.

    The field lives at half the resolution; that is also what the discriminator sees.
    """

    def _velocities(self, step: int, count: int, coarse: Shape) -> Tensor:
        """Velocity fields [count, 3, *coarse] of fresh keys, in voxels of that grid."""
        assert isinstance(self.system.client, VelocityGenerator)
        generator = torch.Generator().manual_seed(int(np.random.default_rng([self.spec.seed, 6, step]).integers(2**62)))
        keys = torch.randn(count, KEY_SIZE, generator=generator).to(self.accelerator.device)
        fields: Tensor = self._unit() * self.system.client(keys, coarse)
        return fields

    def _unit(self) -> float:
        return float(self.defense.params["strength"]) / 2

    def _warped(self, pairs: Pairs, velocities: Tensor) -> tuple[list[Tensor], Tensor]:
        """Displacements, and what the discriminator sees."""
        moves = [integrate(velocity) for velocity in velocities]
        small = nn.functional.adaptive_avg_pool3d(pairs.image, coarse_shape(self.cohort.shape))
        return moves, torch.stack([warp(image, move) for image, move in zip(small, moves, strict=True)])

    def _encoded(self, source: PairSource, step: int) -> tuple[Tensor, Tensor]:
        pairs, _ = source.volumes(step, self._count)
        _, scans = self._warped(pairs, self._velocities(step, len(pairs.image), coarse_shape(self.cohort.shape)))
        return scans, pairs.same

    def _client_loss(self, step: int) -> Tensor:
        options = self.spec.train
        pairs, corners = self._pairs.volumes(step, self._count)
        velocities = self._velocities(step, len(pairs.image), coarse_shape(self.cohort.shape))
        moves, scans = self._warped(pairs, velocities)
        patches, maps = self._patches(pairs, moves, corners)
        undone = [integrate(-velocity) for velocity in velocities]
        left = [back + warp(move, back) for move, back in zip(moves, undone, strict=True)]
        folds = torch.stack([(0.1 - jacobian(move)).relu().mean() for move in moves]).mean()
        apart = (velocities[::2] - velocities[1::2]).abs().mean() / self._unit()
        return (
            self._segmentation_loss(patches, maps)
            + self._against(scans, pairs.same)
            + options.invertibility * (torch.stack(left).square().mean() + folds)
            + options.diversity * (1 - apart / APART).relu()
        )

    def _patches(self, pairs: Pairs, moves: list[Tensor], corners: list[tuple[int, int, int]]) -> tuple[Tensor, Tensor]:
        """A patch of each warped volume and of its warped labels."""
        size, images, maps = self.recipe.size, [], []
        for image, labels, move, corner in zip(pairs.image, pairs.label_map, moves, corners, strict=True):
            fine = resize(move, self.cohort.shape)
            x, y, z = corner
            part = fine[:, x : x + size, y : y + size, z : z + size]
            images.append(warp(image, part, corner))
            maps.append(warp(labels, part, corner))
        return torch.stack(images), torch.stack(maps)

    def measure(self) -> dict[str, float | None]:
        """Dice of patches of warped held-out scans, the discriminator, and how far and how differently keys move."""
        total, far, apart, left, folded = torch.zeros(()), [], [], [], []
        coarse = coarse_shape(self.cohort.shape)
        for number in range(self.options.validation_batches):
            pairs, corners = self._held_out.volumes(number, max(self._count, 2))
            velocities = self._velocities(JUDGING + number, len(pairs.image), coarse)
            moves, _ = self._warped(pairs, velocities)
            patches, maps = self._patches(pairs, moves, corners)
            with self.accelerator.autocast():
                guess = self.system.segmentation(patches).argmax(1)
            total = total + overlaps(guess, maps).cpu()
            far += [2 * float(move.norm(dim=0).mean()) for move in moves]
            apart += [
                2 * float((one - two).norm(dim=0).mean()) for one, two in zip(moves[::2], moves[1::2], strict=True)
            ]
            back = integrate(-velocities[0])
            left.append(2 * float((back + warp(moves[0], back)).norm(dim=0).mean()))
            folded += [float((jacobian(move) <= 0).float().mean()) for move in moves]
        return {
            "dice plain": mean_dice(total),
            **self._judged(),
            "voxels moved": float(np.mean(far)),
            "voxels between keys": float(np.mean(apart)),
            "voxels not undone": float(np.mean(left)),
            "share folded": float(np.mean(folded)),
        }

    def flaws(self, scores: dict[str, float | None]) -> list[str]:
        """Deformations that move nothing, or the same for every key; a dead discriminator."""
        found = super().flaws(scores)
        if (scores["voxels moved"] or 0) < STILL:
            found.append("the deformation moves nothing")
        elif (scores["voxels between keys"] or 0) < STILL:
            found.append("every key gives the same deformation")
        return found
