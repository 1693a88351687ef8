"""A linear de-encoder: the attacker encodes its own people with fresh keys, and learns to get their images back.

The answer is the attacker's atlas plus a correction, ridge regression on the encoding around a voxel. The correction is
0 unless it helps people who were left out: an encoding that tells nothing leaves the atlas, whatever the scheme.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from privaudit.contracts.cohort import Volume
from privaudit.contracts.defense import Defense
from privaudit.imaging.atlas import Atlas
from privaudit.imaging.patches import as_tensor
from privaudit.imaging.smoothing import box
from privaudit.learning.kept import Kept
from privaudit.learning.own_people import Others, encode_own, fingerprint
from privaudit.learning.ridge import Floats, ridge

NEIGHBOURS: Final = [(x, y, z) for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1)]
NEAREST: Final = [(0, 0, 0), (1, 0, 0), (-1, 0, 0), (0, 1, 0), (0, -1, 0), (0, 0, 1), (0, 0, -1)]
RADII: Final = (2, 4)
"""Of the boxes over which the encoding is averaged, in voxels."""
VOXELS: Final = 20_000
"""Voxels of each scan that are learned from."""
LEAST: Final = 3
"""People to learn from: one is left out, and two have a mean."""
PEOPLE: Final = 24
"""Of the attacker's own people, at most so many are learned from."""
FLOOR: Final = 1e-6
"""Variance below which a feature is constant."""


@dataclass(frozen=True, eq=False)
class Channels:
    """What is read of an encoding, each [X, Y, Z]: value, size, square, value in units of the whole, local spread.

    Of a mean encoding, what an encoding of nobody in particular would show.
    """

    value: Tensor
    size: Tensor
    square: Tensor
    standard: Tensor
    rough: Tensor

    @classmethod
    def of(cls, encoding: Tensor) -> Channels:
        """Read an encoding [X, Y, Z]."""
        spread = float(encoding.std().clamp_min(FLOOR))
        rough = (box(encoding**2, 1) - box(encoding, 1) ** 2).clamp_min(0).sqrt()
        return cls(encoding, encoding.abs(), encoding**2, (encoding - encoding.mean()) / spread, rough)

    def __iter__(self) -> Iterator[Tensor]:
        return iter((self.value, self.size, self.square, self.standard, self.rough))


class Reader:
    """Features of voxels, as deviations of an encoding from a mean one.

    Args:
        mean: channels of the mean encoding.
        atlas: of the attacker's people.
    """

    def __init__(self, mean: Channels, atlas: Atlas) -> None:
        self.mean, self.atlas = mean, atlas
        self.places = torch.nonzero(atlas.variance > 0)
        """Voxels [N, 3] where people differ; elsewhere the atlas is the answer."""

    def open(self, encoding: Tensor) -> Opened:
        """Read an encoding [X, Y, Z]."""
        value, size, square, standard, rough = (
            seen - usual for seen, usual in zip(Channels.of(encoding), self.mean, strict=True)
        )
        spread = self.atlas.variance.sqrt()
        around = [(_padded(value), NEIGHBOURS), (_padded(size), NEAREST), (_padded(standard), NEAREST)]
        alone = [square, rough, *(box(value, radius) for radius in RADII)]
        alone += [volume * by for volume in (value, size) for by in (self.atlas.mean, spread)]
        return Opened(around, alone)


@dataclass(frozen=True, eq=False)
class Opened:
    """An encoding that was read.

    Attributes:
        around: volumes [X + 2, Y + 2, Z + 2], each with the steps at which a voxel's neighbours are looked at.
        alone: volumes [X, Y, Z].
    """

    around: Sequence[tuple[Tensor, Sequence[tuple[int, int, int]]]]
    alone: Sequence[Tensor]

    def features(self, places: Tensor) -> Tensor:
        """Features [n, F] of voxels at places [n, 3]."""
        near = [_at(volume, places + torch.tensor(by) + 1) for volume, steps in self.around for by in steps]
        return torch.stack([*near, *(_at(volume, places) for volume in self.alone)], dim=1)

    def weighted(self, weights: Sequence[float]) -> Tensor:
        """The features of all voxels, times weights [F], [X, Y, Z]."""
        total = torch.zeros_like(self.alone[0])
        left = iter(weights)
        x, y, z = total.shape
        for volume, steps in self.around:
            for dx, dy, dz in steps:
                near = volume[1 + dx : 1 + dx + x, 1 + dy : 1 + dy + y, 1 + dz : 1 + dz + z]
                total.add_(near, alpha=next(left))
        for volume in self.alone:
            total.add_(volume, alpha=next(left))
        return total


def _at(volume: Tensor, places: Tensor) -> Tensor:
    return volume[places[:, 0], places[:, 1], places[:, 2]]


def _padded(volume: Tensor) -> Tensor:
    """With a border of one voxel, as at the border."""
    return functional.pad(volume[None, None], (1,) * 6, mode="replicate")[0, 0]


@dataclass(frozen=True, eq=False)
class Inverter:
    """A fitted de-encoder.

    Attributes:
        reader: of encodings.
        weights: of the features, float64 [F]; all 0 where no correction helps.
        left: squared error of people left out, as a share of the atlas's; 1 where no correction helps.
    """

    reader: Reader
    weights: Floats
    left: float

    def invert(self, encoding: Tensor) -> Tensor:
        """The picture [X, Y, Z] behind an encoding [X, Y, Z]."""
        image = self.reader.atlas.mean.clone()
        if not self.weights.any():
            return image
        there = self.reader.atlas.variance > 0  # elsewhere the atlas is the answer
        return torch.where(there, image + self.reader.open(encoding).weighted(self.weights.tolist()), image).clamp(0, 1)


def learn_inverter(
    scheme: Defense, people: Sequence[Volume], atlas: Atlas, views: int, encodings: int, seed: int,
    advance: Callable[[float], None],
) -> Inverter:  # fmt: skip
    """Fit a de-encoder on people whom the attacker encodes itself.

    Args:
        scheme: what encodes.
        people: the attacker's own, at least three.
        atlas: their mean and variance.
        views: of each encoding, averaged.
        encodings: of each person, each with a fresh key.
        seed: of keys and of the voxels that are learned from.
        advance: called with shares of the work; they add up to 1.
    """
    keys, rng = random.Random(seed), np.random.default_rng(seed)
    sent = []
    chosen = people[:PEOPLE]
    for person, volume in enumerate(chosen):
        image, others = as_tensor(volume.image), Others(people, person)
        sent.append([encode_own(scheme, image, others, keys, views) for _ in range(encodings)])
        advance(0.5 / len(chosen))
    total: list[Tensor] = []
    for encoding in (encoding for own in sent for encoding in own):
        channels = list(Channels.of(encoding))
        total = channels if not total else [one + other for one, other in zip(total, channels, strict=True)]
    mean = Channels(*(channel / (len(chosen) * encodings) for channel in total))
    reader = Reader(mean, atlas)
    grams, products, squares = [], [], []
    for volume, own in zip(chosen, sent, strict=True):
        image = as_tensor(volume.image)
        rest = atlas.mean_without(image, len(people))
        gram, product, square = 0.0, 0.0, 0.0
        for encoding in own:
            picked = rng.choice(len(reader.places), size=min(VOXELS, len(reader.places)), replace=False)
            places = reader.places[torch.from_numpy(np.sort(picked))]
            features = reader.open(encoding).features(places).double().numpy()
            missing = _at(image - rest, places).double().numpy()
            gram, product = gram + features.T @ features, product + features.T @ missing
            square += float(missing @ missing)
        grams.append(gram)
        products.append(product)
        squares.append(square)
        advance(0.5 / len(chosen))
    weights, left = ridge(np.stack(grams), np.stack(products), np.array(squares))
    return Inverter(reader, weights, left)


_KEPT: Kept[Inverter] = Kept()


def shared_inverter(
    scheme: Defense, people: Sequence[Volume], atlas: Atlas, views: int, encodings: int, seed: int,
    advance: Callable[[float], None],
) -> Inverter:  # fmt: skip
    """:func:`learn_inverter`, or what it gave for the same arguments before: protocols and attacks ask again.

    Of fewer than three people nothing is learned, and the answer is the atlas.
    """
    if len(people) < LEAST:
        advance(1)
        return Inverter(Reader(Channels.of(atlas.mean), atlas), np.zeros(1), 1.0)
    key = fingerprint(scheme, people, views, encodings, seed)
    return _KEPT.learned(key, lambda: learn_inverter(scheme, people, atlas, views, encodings, seed, advance), advance)
