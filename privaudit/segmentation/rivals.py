"""Adversarial trainings: the client's encoding against a discriminator of identities (Privacy-Net, Deformation-Proxy).

Turns alternate. On even steps the discriminator learns to tell whether two encoded scans show the same person; on odd
ones the client's and the server's networks minimise the segmentation loss minus λ times the discriminator's.
"""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from privaudit.errors import OptionError
from privaudit.learning.discriminator import Frozen, SiameseNet, area_under_curve, at_chance, identity_loss
from privaudit.segmentation.folds import scans_of
from privaudit.segmentation.networks import ProtectedSegmentation
from privaudit.segmentation.pairs import PairSource
from privaudit.segmentation.training import Training

DEAD: Final = 0.01
"""Standard deviation of the discriminator's logits below which it does not look at its input."""
JUDGING: Final = 10**6
"""Number of the first draw of those pairs; those of a training count from 0."""
JUDGED: Final = 64
"""Pairs of held-out people, half of the same person, by which the discriminator is judged."""


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
