"""Adversarial trainings: the client's encoding against a discriminator of identities (Privacy-Net, Deformation-Proxy).

Turns alternate. On even steps the discriminator learns to tell whether two encoded scans show the same person; on odd
ones the client's and the server's networks minimise the segmentation loss minus λ times the discriminator's.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from privaudit.deformation import coarse_shape, integrate, jacobian, resize, warp
from privaudit.errors import OptionError
from privaudit.patches import Shape
from privaudit.segmentation.clients import KEY_SIZE, ProxyEncoder, VelocityGenerator
from privaudit.segmentation.discriminator import Frozen, SiameseNet, area_under_curve, at_chance, identity_loss
from privaudit.segmentation.networks import ProtectedSegmentation
from privaudit.segmentation.pairs import Pairs, PairSource
from privaudit.segmentation.training import Training, scans_of
from privaudit.segmentation.validation import mean_dice, overlaps

STILL: Final = 0.25
"""Voxels: deformations, or differences between two keys' ones, below this hide nothing."""
CONSTANT: Final = 0.01
"""Standard deviation of a proxy, or mean difference between two people's ones, below which it shows nothing."""
DEAD: Final = 0.01
"""Standard deviation of the discriminator's logits below which it does not look at its input."""
JUDGING: Final = 10**6
"""Number of the first draw of those pairs; those of a training count from 0."""
JUDGED: Final = 64
"""Pairs of held-out people, half of the same person, by which the discriminator is judged."""
APART: Final = 0.5
"""Mean difference between two keys' velocities, in units of the strength, from which more is not asked for."""


class Adversarial(nn.Module):
    """The networks of a scheme, and what they are trained against."""

    def __init__(self, system: ProtectedSegmentation, discriminator: SiameseNet) -> None:
        super().__init__()
        self.system, self.discriminator = system, discriminator


class RivalTraining(Training):
    """What both schemes share: data in pairs, alternating turns, checks for collapse."""

    scored = "held-out people"
    networks: Adversarial

    def _open(self) -> nn.Module:
        """Add the discriminator."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.spec.seed)
            return Adversarial(self.system, SiameseNet(self.spec.train.discriminator))

    def _open_data(self, classes: int) -> None:
        """Pairs of people to train on, and of people held out."""
        if self.accelerator.num_processes > 1:
            raise OptionError(
                "adversarial trainings run in one process", got=self.accelerator.num_processes,
                todo="start it without 'accelerate launch'",
            )  # fmt: skip
        where, seed = self.accelerator.device, self.spec.seed
        self._count = max(2, self.spec.train.batch // 2)
        learners, held_out = scans_of(self.cohort, self.fold.train), scans_of(self.cohort, self.fold.validation)
        self._pairs = PairSource(self.cohort, learners, classes, self.recipe, seed, where)
        self._held_out = PairSource(self.cohort, held_out, classes, self.recipe, seed + 1, where)

    def compute_loss(self, model: nn.Module, step: int) -> Tensor:
        """The loss of whose turn it is."""
        with self.accelerator.autocast():
            if step % 2 == 0:
                with torch.no_grad():
                    scans, same = self._encoded(self._pairs, step)
                return identity_loss(self.networks.discriminator(scans), same)
            with Frozen(self.networks.discriminator):
                return self._client_loss(step)

    def _encoded(self, source: PairSource, step: int) -> tuple[Tensor, Tensor]:
        """What the discriminator sees of pairs [2P, 1, X, Y, Z], and which are of the same person [P]."""
        raise NotImplementedError

    def _client_loss(self, step: int) -> Tensor:
        raise NotImplementedError

    def _against(self, scans: Tensor, same: Tensor) -> Tensor:
        """``−λ`` times the discriminator's loss."""
        weight = self.spec.train.adversary
        return -weight * identity_loss(self.networks.discriminator(scans), same) if weight else scans.sum() * 0

    def _segmentation_loss(self, patches: Tensor, maps: Tensor) -> Tensor:
        return self.loss.of_map(self.system.segmentation(patches), maps)

    def _judged(self) -> dict[str, float | None]:
        """How well the discriminator tells encoded scans of held-out people apart, and whether it looks at all."""
        logits, same = [], []
        for number in range(-(-JUDGED // self._count)):
            scans, truth = self._encoded(self._held_out, JUDGING + number)
            logits.append(self.networks.discriminator(scans).float())
            same.append(truth)
        found = torch.cat(logits)
        return {
            "same-person AUC": area_under_curve(found, torch.cat(same)),
            "pairs": float(len(found)),
            "logit sd": float(found.std()),
        }

    def flaws(self, scores: dict[str, float | None]) -> list[str]:
        """Ways in which the game has collapsed."""
        # A figure that is missing, or no number, is no sign of life either.
        alive = (scores["logit sd"] or 0) >= DEAD or not self.doubts(scores)
        return [] if alive else ["the discriminator is dead: it answers the same whatever it is shown"]

    def doubts(self, scores: dict[str, float | None]) -> list[str]:
        """Whether a discriminator at chance has been beaten, or never learned, cannot be told from here."""
        auc, pairs = scores["same-person AUC"], scores["pairs"]
        if auc is not None and pairs and not at_chance(auc, int(pairs)):
            return []
        return [
            "the game's discriminator does no better than chance on held-out people, whether the client has won or it"
            " never learned; only an attack on the finished scheme tells ('learned-reid')"
        ]


class PrivacyNetTraining(RivalTraining):
    """Encoder, segmentation of proxies, discriminator of pairs of patches cut at the same place."""

    def _encoder(self) -> ProxyEncoder:
        assert isinstance(self.system.client, ProxyEncoder)
        return self.system.client

    def _encoded(self, source: PairSource, step: int) -> tuple[Tensor, Tensor]:
        pairs = source.patches(step, self._count)
        return self._encoder()(pairs.image), pairs.same

    def _client_loss(self, step: int) -> Tensor:
        pairs = self._pairs.patches(step, self._count)
        proxies = self._encoder()(pairs.image)
        return self._segmentation_loss(proxies, pairs.label_map) + self._against(proxies, pairs.same)

    def measure(self) -> dict[str, float | None]:
        """Dice of held-out patches through their proxies, the discriminator, and what tells proxies apart."""
        total, spread, apart = torch.zeros(()), [], []
        for number in range(self.options.validation_batches):
            pairs = self._held_out.patches(number, max(self._count, 4))
            with self.accelerator.autocast():
                proxies = self._encoder()(pairs.image)
                guess = self.system.segmentation(proxies).argmax(1)
            total = total + overlaps(guess, pairs.label_map).cpu()
            spread.append(float(proxies.flatten(1).std(dim=1).mean()))
            others = pairs.same < 0.5
            apart.append(float((proxies[::2] - proxies[1::2])[others].abs().mean()))
        return {
            "dice plain": mean_dice(total),
            **self._judged(),
            "proxy sd": float(np.mean(spread)),
            "proxy difference": float(np.mean(apart)),
        }

    def flaws(self, scores: dict[str, float | None]) -> list[str]:
        """A constant proxy, or the same for everybody; a dead discriminator."""
        found = super().flaws(scores)
        if (scores["proxy sd"] or 0) < CONSTANT:
            found.append("the proxy is constant")
        elif (scores["proxy difference"] or 0) < CONSTANT / 2:
            found.append("the proxy is the same for everybody")
        return found


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
