"""Planted leaks: a scheme that sends a share of the raw image along, for positive controls.

The leak is planted inside the scheme: an attacker who learns from encodings of its own learns from leaky ones too.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.contracts.defense import Defense, Encoded, Key
from privaudit.contracts.scheme import Mixing
from privaudit.contracts.wrapped import Wrapped
from privaudit.imaging.off_grid import as_image, spread
from privaudit.imaging.patches import Shape, cut
from privaudit.scoring.arms import SHARES, Arm

QUIET: Final = 1e-6
"""Spread below which an image is constant."""


class Planted(Wrapped):
    """A scheme, and a share of the raw target, or of the raw reference, in everything that it sends.

    Keys are the scheme's own. What comes back is planted too: labels of what the images are of.

    Args:
        scheme: what is audited.
        share: of raw content, 0 to 1.
        others: plant what was mixed in, not the target.
    """

    name = "planted"
    summary = "a scheme that leaks"

    def __init__(self, scheme: Defense, share: float, others: bool = False) -> None:
        super().__init__(scheme)
        self.share, self.others = share, others

    @property
    def params(self) -> dict[str, object]:
        """Those of the scheme, and what is planted: another share is another scheme."""
        return {**super().params, "share": self.share, "others": self.others}

    @property
    def mixing(self) -> Mixing:
        """As the scheme's."""
        return self.inner.mixing

    @property
    def views(self) -> int:
        """As the scheme's."""
        return self.inner.views

    @property
    def patch_size(self) -> int | None:
        """As the scheme's."""
        return self.inner.patch_size

    def encode(self, image: Tensor, key: Key, views: int) -> Encoded:
        """What the scheme sends, blended with what is planted."""
        return self.blended(self.inner.encode(image, key, views), image, key)

    def blended(self, sent: Encoded, image: Tensor, key: Key) -> Encoded:
        """What the scheme has sent of an image, blended with what is planted."""
        if not self.others:
            raw = cut(image, sent.positions, (*sent.views.shape[-3:],)).expand_as(sent.views)
        else:
            others = self.inner.bystanders(key, len(sent.views))
            assert others is not None
            raw = others
        views = plant(sent.views, raw, self.share)
        if sent.sent is None:
            return Encoded(views, sent.positions)
        return self._off_grid(sent.sent, views, sent.positions, raw)

    def _off_grid(self, sent: Tensor, views: Tensor, positions: NDArray[np.int64], raw: Tensor) -> Encoded:
        """The same where other things than images are sent: the leak is an image in their form, as finely as fits.

        Where the scheme says how what it sends looks as an image, the leak is planted in that, too.
        """
        planted = plant(sent, torch.stack([spread(one[0], sent.shape[1:]) for one in raw]), self.share)
        shape: Shape = (views.shape[2], views.shape[3], views.shape[4])
        if self.inner.as_image(sent[0], shape) is None:
            views = torch.stack([as_image(one, shape) for one in planted])[:, None]
        return Encoded(views, positions, planted)

    def respond(self, labels: Tensor, key: Key, views: int) -> Tensor:
        """What an error-free server returns, blended with labels of what is planted."""
        # Where patches are cut does not depend on what is in them; what is recorded or off the grid is not cut.
        positions = np.zeros((1, 3), dtype=np.int64)
        if self.inner.fresh:
            positions = self.inner.encode(torch.zeros(labels.shape[1:]), key, 1).positions
        return self.answered(self.inner.respond(labels, key, views), labels, positions, key)

    def answered(self, answer: Tensor, labels: Tensor, positions: NDArray[np.int64], key: Key) -> Tensor:
        """What the scheme's server has returned, blended with what is planted.

        Labels of others are planted where the scheme knows them; elsewhere the answer stays as it is.
        """
        if self.others:
            known = self.inner.side_information(key, len(answer), len(labels))
            return answer if known is None else plant(answer, known[0], self.share)
        maps = torch.stack([cut(one, positions, (*answer.shape[-3:],)) for one in labels], dim=1)
        return plant(answer, maps.expand_as(answer), self.share)

    def decode(self, returned: Tensor, key: Key) -> Tensor:
        """As the scheme's."""
        return self.inner.decode(returned, key)

    def bystanders(self, key: Key, views: int) -> Tensor | None:
        """As the scheme's."""
        return self.inner.bystanders(key, views)

    def owners(self, key: Key) -> tuple[int, ...]:
        """As the scheme's."""
        return self.inner.owners(key)

    def weights(self, key: Key) -> NDArray[np.float64] | None:
        """A planted leak is one more mixture, with the raw target or with the raw reference."""
        weights = self.inner.weights(key)
        if weights is None:
            return None
        return (0.0 if self.others else self.share) + (1 - self.share) * weights


def on_arm(scheme: Defense, arm: Arm) -> Defense:
    """The scheme itself, or one with the leak that an arm plants."""
    return Planted(scheme, SHARES[arm], others=arm == "planted-reference") if arm in SHARES else scheme


def plant(encoded: Tensor, raw: Tensor, share: float) -> Tensor:
    """Blend raw content into encoded patches, the encoding scaled down where it is the louder one."""
    loud = float(encoded.std()) / max(float(raw.std()), QUIET)
    return (1 - share) * encoded / max(1.0, loud) + share * raw
