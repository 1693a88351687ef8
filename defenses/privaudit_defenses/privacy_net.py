"""Privacy-Net (Kim et al., IEEE TMI 2021): an encoder, trained against a discriminator of identities, makes proxies.

There is no key: whoever has the client's software has the encoder. The returned map is not encoded.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from privaudit.contracts.cohort import Volume
from privaudit.contracts.defense import Encoded, Key
from privaudit.imaging.patches import Shape
from privaudit.segmentation.learned import LearnedDefense, LearnedOptions


class PrivacyNetDefense(LearnedDefense):
    """The proxy ``E(image)`` is sent, whole; the server's map is the target's."""

    name = "privacy-net"
    summary = "proxies by an encoder trained against a discriminator of identities (Privacy-Net, TMI 2021)"
    client = "proxy"
    keyed = False
    Options = LearnedOptions

    def draw_key(self, shape: Shape, pool: Sequence[Volume], rng: random.Random) -> Key:
        """There is no secret."""
        return Key()

    @torch.no_grad()
    def encode(self, image: Tensor, key: Key, views: int) -> Encoded:
        """The proxy, as one patch; all views are the same."""
        proxy = self.network(image[None, None].float())
        return Encoded(proxy.repeat(views, 1, 1, 1, 1), np.zeros((1, 3), dtype=np.int64))

    def respond(self, labels: Tensor, key: Key, views: int) -> Tensor:
        """The labels themselves."""
        return labels[None, None].repeat(views, 1, 1, 1, 1, 1)

    def decode(self, returned: Tensor, key: Key) -> Tensor:
        """The mean of the returned maps."""
        return returned.mean(dim=0)[0]
