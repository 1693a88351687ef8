"""Encryption-then-compression (EtC): cubes change places, are turned or mirrored, and half of them are inverted.

Kurihara, Kikuchi, Imaizumi, Shiota and Kiya, "An encryption-then-compression system for JPEG standard", IEICE
Transactions 2015, with cubes in place of squares. Attacked by Chuman, Kurihara and Kiya, IEICE Transactions 2018.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor

from privaudit.contracts.defense import Key
from privaudit.contracts.options import PluginOptions
from privaudit.contracts.seeded import SeededDefense, SeedKey
from privaudit.imaging.cubes import scrambled, scrambled_maps


class EtcOptions(PluginOptions):
    """How fine."""

    block: Annotated[int, Field(ge=2)] = Field(default=8, description="side of the scrambled cubes in voxels")


class EtcDefense(SeededDefense):
    """A fresh key for every scan. Cubes cut off at the far border are not sent."""

    name = "etc"
    summary = "cubes permuted, turned, mirrored and inverted with a fresh key (EtC block scrambling)"
    lossless = False
    Options = EtcOptions
    options: EtcOptions

    def hide(self, image: Tensor, key: SeedKey) -> Tensor:
        """Scramble."""
        return scrambled(image, self.options.block, key.generator())

    def respond(self, labels: Tensor, key: Key, views: int) -> Tensor:
        """The maps of the scrambled image [1, 1, C, X, Y, Z]."""
        assert isinstance(key, SeedKey)
        return scrambled_maps(labels.float(), self.options.block, key.generator(), back=False)[None, None]

    def decode(self, returned: Tensor, key: Key) -> Tensor:
        """Put the cubes of a map back; those that were not sent are 0."""
        assert isinstance(key, SeedKey)
        return scrambled_maps(returned[0, 0], self.options.block, key.generator(), back=True)
