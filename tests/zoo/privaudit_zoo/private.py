"""Private: what is sent has the same distribution whatever the image is."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
import torch
from torch import Tensor

from privaudit_zoo.base import ZooDefense, ZooKey

LEVELS: Final = 2**16
"""Grey values under the one-time pad. Multiples of 1/65536 are exact in float32: no rounding tells anything."""


class UniformNoiseDefense(ZooDefense):
    """Uniform noise in place of the image. Private: it does not depend on the image."""

    name = "zoo-uniform-noise"
    summary = "zoo, private: fresh uniform noise in place of the image"

    def hide(self, image: Tensor, key: ZooKey) -> Tensor:
        """Noise in [0, 1)."""
        return torch.rand(image.shape, generator=key.generator())


class OneTimePadDefense(ZooDefense):
    """The image in 65536 grey values, plus a fresh uniform number for each voxel, modulo 65536.

    Private, as far as the pad is random: Shannon, "Communication theory of secrecy systems", 1949. Grey values are
    whole numbers because sums of floats modulo 1 round, and their last bits would tell the background.
    """

    name = "zoo-one-time-pad"
    summary = "zoo, private: image plus fresh uniform noise, modulo 1"

    def hide(self, image: Tensor, key: ZooKey) -> Tensor:
        """The sum modulo 1, in [0, 1)."""
        pad = torch.randint(LEVELS, image.shape, generator=key.generator())
        values = (image.double().clamp(0, 1) * (LEVELS - 1)).round().long()
        return ((values + pad) % LEVELS).float() / LEVELS


class StreamCipherDefense(ZooDefense):
    """The image in 256 grey values, combined by XOR with the bytes that SHAKE-256 makes of a fresh key of 256 bits.

    Private, as long as SHAKE-256 is (NIST FIPS 202, 2015): its bytes cannot be told from random ones without the key.
    """

    name = "zoo-stream-cipher"
    summary = "zoo, private: bytes of an encryption with a fresh key"

    def hide(self, image: Tensor, key: ZooKey) -> Tensor:
        """The encrypted bytes, as multiples of 1/255."""
        plain = (image.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
        stream = hashlib.shake_256(key.seed.to_bytes(32, "big")).digest(plain.size)
        hidden = plain ^ np.frombuffer(stream, dtype=np.uint8).reshape(plain.shape)
        return torch.from_numpy(hidden).float() / 255
