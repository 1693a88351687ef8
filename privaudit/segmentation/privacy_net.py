"""Privacy-Net (Kim et al., TMI 2021): an encoder of images against a discriminator of identities."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor

from privaudit.segmentation.clients import ProxyEncoder
from privaudit.segmentation.pairs import PairSource
from privaudit.segmentation.rivals import RivalTraining
from privaudit.segmentation.validation import mean_dice, overlaps

CONSTANT: Final = 0.01
"""Standard deviation of a proxy, or mean difference between two people's ones, below which it shows nothing."""


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
