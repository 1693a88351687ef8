"""A defense that sends nothing but noise: no attack may ever find anything in it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from privaudit.contracts.cohort import Volume
from privaudit.contracts.defense import Defense, Encoded, Key
from privaudit.contracts.options import PluginOptions
from privaudit.imaging.patches import Shape


class PureNoiseOptions(PluginOptions):
    """How much noise."""

    views: Annotated[int, Field(ge=1)] = Field(default=4, description="noise volumes sent per target")
    answer: Literal["labels", "noise"] = Field(default="labels", description="what the server returns")
    fixed: bool = Field(default=False, description="the same noise for every scan")


@dataclass(frozen=True, repr=False)
class PureNoiseKey(Key):
    seed: int


class PureNoiseDefense(Defense):
    """Sends uniform noise; the server's map comes back through a side channel, so decoding still works."""

    name = "pure-noise"
    summary = "example: sends uniform noise instead of the image"
    alike = True
    Options = PureNoiseOptions
    options: PureNoiseOptions

    @property
    def views(self) -> int:
        return self.options.views

    def draw_key(self, shape: Shape, pool: Sequence[Volume], rng: random.Random) -> Key:
        return PureNoiseKey(0 if self.options.fixed else rng.getrandbits(62))

    def encode(self, image: Tensor, key: Key, views: int) -> Encoded:
        assert isinstance(key, PureNoiseKey)
        generator = torch.Generator().manual_seed(key.seed)
        noise = torch.rand((self.options.views, 1, *image.shape), generator=generator)
        return Encoded(noise[:views], np.zeros((1, 3), dtype=np.int64))

    def respond(self, labels: Tensor, key: Key, views: int) -> Tensor:
        if self.options.answer == "labels":
            return labels.clone().expand(views, 1, *labels.shape)
        assert isinstance(key, PureNoiseKey)
        generator = torch.Generator().manual_seed(key.seed + 1)
        return torch.rand((self.options.views, 1, *labels.shape), generator=generator)[:views].softmax(dim=2)

    def decode(self, returned: Tensor, key: Key) -> Tensor:
        return returned[:, 0].mean(dim=0)
