"""Several views or channels of one scan, read as one volume: their mean, one, or the sum that tells most of own people.

Views that are drawn alike are best averaged. Others need not be: the image may lie in one of them, or in what two
shares differ by, and their mean may tell nothing. Channels, as of a network's first layers, are never drawn alike.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.contracts.cohort import Volume
from privaudit.contracts.defense import Defense, Encoded, Key
from privaudit.contracts.transcript import Transcript
from privaudit.contracts.wrapped import Wrapped
from privaudit.imaging.atlas import Atlas
from privaudit.imaging.off_grid import channels_of, resized
from privaudit.imaging.patches import Shape, as_tensor, stitch
from privaudit.learning.inversion import LEAST
from privaudit.learning.kept import Kept
from privaudit.learning.own_people import Others, fingerprint, send_own
from privaudit.learning.ridge import ridge
from privaudit.learning.unwrapping import PEOPLE, some_voxels

LESS: Final = 0.9
"""Share of the error which the mean leaves that a sum must stay below: else the mean is taken, which is simpler."""
ALONE: Final = 4
"""Up to so many views or channels are also read one by one, where they are not drawn alike."""
MOST: Final = 64
"""With more views and channels than that, only the mean is read."""
FLOOR: Final = 1e-12
"""Share of the greatest variance below which a sum of views is constant."""


@dataclass(frozen=True, eq=False)
class Parts:
    """All that was sent of a scan, part by part.

    Attributes:
        each: views [P, N, *patch], or the channels of all views [P, 1, x, y, z].
        positions: of patches; None where parts are channels.
        shape: of the image [X, Y, Z].
    """

    each: Tensor
    positions: NDArray[np.int64] | None
    shape: Shape

    @classmethod
    def of(cls, sent: Encoded | Transcript, shape: Shape) -> Parts:
        """The parts of what was sent."""
        if sent.sent is not None:
            channels = [channels_of(view, shape) for view in sent.sent]
            found = [one for one in channels if one is not None]
            if found:
                return cls(torch.cat(found)[:, None], None, shape)
        return cls(sent.views, sent.positions, shape)

    def volume(self, part: Tensor) -> Tensor:
        """A part, or a sum of parts, as a volume of the image's shape."""
        return resized(part[0], self.shape) if self.positions is None else stitch(part, self.positions, self.shape)


@dataclass(frozen=True)
class Reading:
    """One volume of all that was sent of a scan.

    Attributes:
        weights: of each part, and, last, of their standard deviation; None for the mean of the views.
    """

    weights: tuple[float, ...] | None = None

    def volume(self, sent: Encoded | Transcript, shape: Shape) -> Tensor:
        """The reading as a volume of the image's shape, float32 [X, Y, Z]."""
        if self.weights is None:
            return stitch(sent.views.mean(dim=0), sent.positions, shape)
        parts = Parts.of(sent, shape)
        total = torch.zeros(parts.each.shape[1:], dtype=torch.float64)
        for weight, part in zip(self.weights[:-1], parts.each, strict=True):
            if weight:
                total += weight * part.double()
        if self.weights[-1]:
            total += self.weights[-1] * parts.each.double().std(dim=0)
        return parts.volume(total.float())

    def of(self, transcript: Transcript) -> Tensor:
        """The same of a transcript, which knows the image's shape."""
        return self.volume(transcript, transcript.shape)

    def scheme(self, scheme: Defense, views: int) -> tuple[Defense, int]:
        """A scheme whose views, averaged, are this reading; and how many to ask it for."""
        return (scheme, views) if self.weights is None else (Read(scheme, self, views), 1)

    def __str__(self) -> str:
        """In words."""
        if self.weights is None:
            return "mean of the views"
        told = [number for number, weight in enumerate(self.weights, 1) if weight]
        return f"part {told[0]} alone" if len(told) == 1 and told[0] < len(self.weights) else "sum of the parts"


class Read(Wrapped):
    """A scheme of one view, which is a reading of another's.

    Args:
        scheme: what is attacked.
        reading: of its views.
        views: how many are sent.
    """

    name = "read"
    summary = "a reading of all that a scheme sends"

    def __init__(self, scheme: Defense, reading: Reading, views: int) -> None:
        super().__init__(scheme)
        self.reading, self.sent = reading, views

    @property
    def params(self) -> dict[str, object]:
        """Those of the scheme, and the reading."""
        return {**super().params, "reading": self.reading.weights}

    def encode(self, image: Tensor, key: Key, views: int) -> Encoded:
        """The reading of all views."""
        shape: Shape = (image.shape[0], image.shape[1], image.shape[2])
        volume = self.reading.volume(self.inner.encode(image, key, self.sent), shape)
        return Encoded(volume[None, None], np.zeros((1, 3), dtype=np.int64))


def readings_of(
    scheme: Defense, people: Sequence[Volume], atlas: Atlas, views: int, seed: int, advance: Callable[[float], None]
) -> list[Reading]:
    """What is worth trying: the mean, or the sum that tells more; and single parts that are not drawn alike.

    Args:
        scheme: what encodes.
        people: the attacker's own.
        atlas: their mean and variance.
        views: that are sent of each scan.
        seed: of keys and voxels.
        advance: called with shares of the work; they add up to 1.
    """
    parts = None if len(people) < LEAST else _sent(scheme, people, 0, random.Random(0), views)
    count = 1 if parts is None else len(parts.each)
    if parts is None or count == 1 or count > MOST:
        advance(1)
        return [Reading()]
    key = fingerprint(scheme, people, views, seed)
    best = _KEPT.learned(key, lambda: learn_reading(scheme, people, atlas, views, seed, advance), advance)
    alone = [Reading(tuple(float(part == other) for other in range(count + 1))) for part in range(count)]
    channels = parts.positions is None
    found = [best, *(alone if count <= ALONE and (channels or not scheme.alike) else [])]
    return list(dict.fromkeys([*found, Reading()])) if channels else found  # a scheme may show channels as an image


def _sent(scheme: Defense, people: Sequence[Volume], person: int, keys: random.Random, views: int) -> Parts:
    transcript = send_own(scheme, people[person], Others(people, person), keys, views, None)
    return Parts.of(transcript, transcript.shape)


def learn_reading(
    scheme: Defense, people: Sequence[Volume], atlas: Atlas, views: int, seed: int, advance: Callable[[float], None]
) -> Reading:
    """The sum of parts and of their spread that is nearest to own people's images, if it is much nearer than the mean.

    A ridge regression on the parts' principal components, each in units of its spread, so that a small difference of
    two large parts counts as much as they do. People who are left out decide.
    """
    keys, rng = random.Random(f"readings {seed}"), np.random.default_rng([seed, 11])
    picked = some_voxels(torch.nonzero(atlas.variance.flatten() > 0)[:, 0], rng)
    seen, targets = [], []
    for person, volume in enumerate(people[:PEOPLE]):
        image, parts = as_tensor(volume.image), _sent(scheme, people, person, keys, views)
        each = [*parts.each, parts.each.double().std(dim=0).float()]
        seen.append(np.stack([parts.volume(one).flatten()[picked].double().numpy() for one in each]))
        targets.append((image - atlas.mean_without(image, len(people))).flatten()[picked].double().numpy())
        advance(1 / min(PEOPLE, len(people)))
    apart, target = np.stack(seen), np.stack(targets)
    apart -= apart.mean(axis=0)
    parts_apart, spread_apart = apart[:, :-1], apart[:, -1:]
    values, vectors = np.linalg.eigh(np.einsum("pvn,pwn->vw", parts_apart, parts_apart))
    kept = values > FLOOR * max(float(values[-1]), 1e-30)
    basis = (vectors[:, kept] / np.sqrt(values[kept])).T
    components = np.concatenate([np.einsum("cv,pvn->pcn", basis, parts_apart), spread_apart], axis=1)

    def fitted(features: np.ndarray) -> tuple[np.ndarray, float]:
        grams = np.einsum("pfn,pgn->pfg", features, features)
        return ridge(grams, np.einsum("pfn,pn->pf", features, target), np.square(target).sum(axis=1))

    weights, left = fitted(components)
    if left >= LESS * fitted(parts_apart.mean(axis=1, keepdims=True))[1]:
        return Reading()
    return Reading((*(basis.T @ weights[:-1]).tolist(), float(weights[-1])))


_KEPT: Kept[Reading] = Kept()
