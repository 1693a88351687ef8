"""Several views of one scan, read as one volume: their mean, one of them, or the sum that tells most of own people.

Views that are drawn alike are best averaged. Others need not be: the image may lie in one of them, or in what two
shares differ by, and their mean may tell nothing.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from privaudit.contracts.cohort import Volume
from privaudit.contracts.defense import Defense, Encoded, Key
from privaudit.contracts.transcript import Transcript
from privaudit.contracts.wrapped import Wrapped
from privaudit.imaging.atlas import Atlas
from privaudit.imaging.patches import Shape, as_tensor, stitch
from privaudit.learning.inversion import LEAST
from privaudit.learning.kept import Kept
from privaudit.learning.own_people import Others, fingerprint
from privaudit.learning.ridge import ridge

PEOPLE: Final = 12
"""Of the attacker's own people, so many are encoded at most, once each."""
VOXELS: Final = 10_000
"""Voxels of each scan that are looked at."""
LESS: Final = 0.9
"""Share of the error which the mean leaves that a sum must stay below: else the mean is taken, which is simpler."""
ALONE: Final = 4
"""Up to so many views are also read one by one, where they are not drawn alike."""
FLOOR: Final = 1e-12
"""Share of the greatest variance below which a sum of views is constant."""


@dataclass(frozen=True)
class Reading:
    """One volume of several views.

    Attributes:
        weights: of each view, and, last, of their standard deviation; None for the mean of the views.
    """

    weights: tuple[float, ...] | None = None

    def of(self, views: Tensor) -> Tensor:
        """The reading [*any], float32, of views [V, *any]."""
        if self.weights is None:
            return views.mean(dim=0)
        total = torch.zeros(views.shape[1:], dtype=torch.float64)
        for weight, view in zip(self.weights[:-1], views, strict=True):
            if weight:
                total += weight * view.double()
        if self.weights[-1]:
            total += self.weights[-1] * views.double().std(dim=0)
        return total.float()

    def volume(self, transcript: Transcript) -> Tensor:
        """The reading of all that was sent of a scan, as a volume [X, Y, Z]."""
        return stitch(self.of(transcript.views), transcript.positions, transcript.shape)

    def scheme(self, scheme: Defense, views: int) -> tuple[Defense, int]:
        """A scheme whose views, averaged, are this reading; and how many to ask it for."""
        return (scheme, views) if self.weights is None else (Read(scheme, self, views), 1)

    def __str__(self) -> str:
        """In words."""
        if self.weights is None:
            return "mean of the views"
        told = [number for number, weight in enumerate(self.weights, 1) if weight]
        return f"view {told[0]} alone" if len(told) == 1 and told[0] < len(self.weights) else "sum of the views"


class Read(Wrapped):
    """A scheme of one view, which is a reading of another's.

    Args:
        scheme: what is attacked.
        reading: of its views.
        views: how many are sent.
    """

    name = "read"
    summary = "a reading of all views that a scheme sends"

    def __init__(self, scheme: Defense, reading: Reading, views: int) -> None:
        super().__init__(scheme)
        self.reading, self.sent = reading, views

    @property
    def params(self) -> dict[str, object]:
        """Those of the scheme, and the reading."""
        return {**super().params, "reading": self.reading.weights}

    def encode(self, image: Tensor, key: Key, views: int) -> Encoded:
        """The reading of all views."""
        sent = self.inner.encode(image, key, self.sent)
        return Encoded(self.reading.of(sent.views)[None], sent.positions)


def readings_of(
    scheme: Defense, people: Sequence[Volume], atlas: Atlas, views: int, seed: int, advance: Callable[[float], None]
) -> list[Reading]:
    """What is worth trying: the mean, or the sum that tells more; and single views that are not drawn alike.

    Args:
        scheme: what encodes.
        people: the attacker's own.
        atlas: their mean and variance.
        views: that are sent of each scan.
        seed: of keys and voxels.
        advance: called with shares of the work; they add up to 1.
    """
    if views == 1 or len(people) < LEAST:
        advance(1)
        return [Reading()]
    key = fingerprint(scheme, people, views, seed)
    best = _KEPT.learned(key, lambda: learn_reading(scheme, people, atlas, views, seed, advance), advance)
    alone = [Reading(tuple(float(view == other) for other in range(views + 1))) for view in range(views)]
    return [best, *(alone if views <= ALONE and not scheme.alike else [])]


def learn_reading(
    scheme: Defense, people: Sequence[Volume], atlas: Atlas, views: int, seed: int, advance: Callable[[float], None]
) -> Reading:
    """The sum of views and of their spread that is nearest to own people's images, if it is much nearer than the mean.

    A ridge regression on the views' principal components, each in units of its spread, so that a small difference of
    two large views counts as much as they do. People who are left out decide.
    """
    keys, rng = random.Random(f"readings {seed}"), np.random.default_rng([seed, 11])
    voxels = torch.nonzero(atlas.variance.flatten() > 0)[:, 0]
    picked = voxels[torch.from_numpy(rng.choice(len(voxels), min(VOXELS, len(voxels)), replace=False))]
    seen, targets = [], []
    for person, volume in enumerate(people[:PEOPLE]):
        image = as_tensor(volume.image)
        shape: Shape = (image.shape[0], image.shape[1], image.shape[2])
        sent = scheme.encode(image, scheme.draw_key(shape, Others(people, person), keys), views)
        each = [*sent.views, sent.views.double().std(dim=0)]
        seen.append(np.stack([stitch(one, sent.positions, shape).flatten()[picked].double().numpy() for one in each]))
        targets.append((image - atlas.mean_without(image, len(people))).flatten()[picked].double().numpy())
        advance(1 / min(PEOPLE, len(people)))
    apart, target = np.stack(seen), np.stack(targets)
    apart -= apart.mean(axis=0)
    values, vectors = np.linalg.eigh(np.einsum("pvn,pwn->vw", apart[:, :views], apart[:, :views]))
    kept = values > FLOOR * max(float(values[-1]), 1e-30)
    basis = (vectors[:, kept] / np.sqrt(values[kept])).T
    components = np.concatenate([np.einsum("cv,pvn->pcn", basis, apart[:, :views]), apart[:, views:]], axis=1)

    def fitted(features: np.ndarray) -> tuple[np.ndarray, float]:
        grams = np.einsum("pfn,pgn->pfg", features, features)
        return ridge(grams, np.einsum("pfn,pn->pf", features, target), np.square(target).sum(axis=1))

    weights, left = fitted(components)
    if left >= LESS * fitted(apart[:, :views].mean(axis=1, keepdims=True))[1]:
        return Reading()
    return Reading((*(basis.T @ weights[:-1]).tolist(), float(weights[-1])))


_KEPT: Kept[Reading] = Kept()
