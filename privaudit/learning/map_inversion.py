"""A learned de-encoder of label maps: the population's label frequencies, and a correction that starts at zero.

It is for schemes whose returned maps are no mixtures. Maps that tell nothing leave the frequencies, to the last bit, so
that silence can clear a scheme (as :mod:`privaudit.learning.inversion` does for images).
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
from privaudit.contracts.defense import Defense
from privaudit.contracts.transcript import Transcript
from privaudit.imaging.label_prior import LabelPrior
from privaudit.imaging.patches import most_likely, one_hot, stitch
from privaudit.imaging.smoothing import box
from privaudit.learning.kept import Kept
from privaudit.learning.own_people import Others, fingerprint, send_own
from privaudit.learning.ridge import ridge

PEOPLE: Final = 12
"""Of the attacker's own people, at most so many are learned from; their maps are all in memory."""
LEAST: Final = 3
"""People to learn from: one is left out in turn."""
TRIED: Final = 3
"""Of these, so many tell whether decoding by values works at all."""
VOXELS: Final = 10_000
"""Voxels of each person that are learned from."""
RADII: Final = (1, 2)
"""Neighbourhoods whose mean is looked at beside the voxel."""
FEW: Final = 6
"""Up to so many labels, the maps of all others are looked at for each of them."""
HELPS: Final = 0.98
"""Share of the squared error of people left out that may be left: of several labels one gains a little by chance."""
SURE: Final = 0.99
"""Where a label is at least so frequent, people hardly differ."""

Decode = Callable[[Transcript, LabelPrior], Sequence[NDArray[np.int64]]]
"""Label maps [X, Y, Z] that maps which came back are decoded to, one of which should be the target's."""


@dataclass(frozen=True, eq=False)
class MapInverter:
    """What was learned.

    Attributes:
        usual: mean of the maps that come back of own people, float32 [C, X, Y, Z].
        weights: of features, for each label [C, F]; 0 where nothing helps people who were left out.
        prior: label frequencies of all own people.
    """

    usual: Tensor
    weights: NDArray[np.float64]
    prior: LabelPrior

    def invert(self, transcript: Transcript) -> NDArray[np.int64]:
        """The likeliest label map [X, Y, Z], of what came back."""
        assert transcript.returned is not None
        frequencies = self.prior.with_classes(len(self.usual)).frequencies[: len(self.usual)].clone()
        if self.weights.any():
            apart = maps_of(transcript) - self.usual
            spread = (frequencies * (1 - frequencies)).sqrt()
            for label, weights in enumerate(self.weights):
                rows = _features(apart, label, spread[label])
                frequencies[label] += torch.einsum("f,fxyz->xyz", torch.from_numpy(weights).float(), rows)
        return most_likely(frequencies)


def maps_of(transcript: Transcript) -> Tensor:
    """The mean over views of the maps that came back, [C, X, Y, Z]."""
    assert transcript.returned is not None
    return stitch(transcript.returned.mean(dim=0), transcript.positions, transcript.shape)


def _features(apart: Tensor, label: int, spread: Tensor) -> Tensor:
    """Features [F, X, Y, Z] of how maps [C, X, Y, Z] deviate from the usual ones."""
    looked_at = apart if len(apart) <= FEW else apart[label : label + 1]
    plain = torch.stack([part for one in looked_at for part in (one, *(box(one, radius) for radius in RADII))])
    return torch.cat([plain, plain * spread])


def fallback(
    scheme: Defense, people: Sequence[Volume], prior: LabelPrior, classes: int, views: int, seed: int, decode: Decode
) -> MapInverter | None:
    """What to use in place of decoding; None where decoding names more voxels of own people rightly than frequencies.

    Args:
        scheme: what is attacked.
        people: the attacker's own; fewer than three say nothing, and decoding is used.
        prior: their label frequencies.
        classes: labels, background included.
        views: that come back of each scan.
        seed: of keys and voxels.
        decode: what it is compared with.
    """
    if len(people) < LEAST:
        return None
    some = people[:PEOPLE]
    return _KEPT.learned(
        fingerprint(scheme, some, "maps", classes, views, seed),
        lambda: _learn(scheme, some, prior, classes, views, seed, decode), lambda _: None,
    )  # fmt: skip


_KEPT: Kept[MapInverter | None] = Kept()


def _learn(
    scheme: Defense, people: Sequence[Volume], prior: LabelPrior, classes: int, views: int, seed: int, decode: Decode
) -> MapInverter | None:
    keys, rng = random.Random(f"maps {seed}"), np.random.default_rng([seed, 11])
    sent: list[Transcript] = []
    truths = [one_hot(volume.labels, classes) for volume in people]
    everybody = torch.stack(truths).sum(dim=0)
    without = [(everybody - truth) / (len(people) - 1) for truth in truths]
    right = np.zeros(2)
    for person, volume in enumerate(people):
        sent.append(send_own(scheme, volume, Others(people, person), keys, views, classes))
        if person < TRIED:
            others = LabelPrior.of(other.labels for other in Others(people, person))
            guesses = decode(sent[-1], others)
            doubtful = without[person].amax(dim=0).numpy() < SURE
            usual = most_likely(without[person])
            right += [np.mean((guess == volume.labels)[doubtful]) for guess in (_best(guesses, volume), usual)]
            if person == min(TRIED, len(people)) - 1 and right[0] > right[1]:
                return None
    return _inverter(sent, truths, without, prior, rng)


def _best(guesses: Sequence[NDArray[np.int64]], volume: Volume) -> NDArray[np.int64]:
    """Whose map is whose may be unknown: the better one."""
    return max(guesses, key=lambda guess: float((guess == volume.labels).mean()))


def _inverter(
    sent: Sequence[Transcript], truths: Sequence[Tensor], without: Sequence[Tensor], prior: LabelPrior,
    rng: np.random.Generator,
) -> MapInverter:  # fmt: skip
    """Ridge regression of each label's indicator, beyond its frequency, on what came back."""
    maps = [maps_of(transcript) for transcript in sent]
    usual = torch.stack(maps).mean(dim=0)
    doubtful = [torch.nonzero((most.amax(dim=0) < SURE).flatten())[:, 0] for most in without]
    weights = []
    for label in range(len(usual)):
        grams, products, squares = [], [], []
        for one, truth, usually, voxels in zip(maps, truths, without, doubtful, strict=True):
            picked = voxels[torch.from_numpy(rng.permutation(len(voxels))[:VOXELS])]
            spread = (usually[label] * (1 - usually[label])).sqrt()
            rows = _features(one - usual, label, spread).flatten(1)[:, picked].double().numpy().T
            target = (truth[label] - usually[label]).flatten()[picked].double().numpy()
            grams.append(rows.T @ rows)
            products.append(rows.T @ target)
            squares.append(float(target @ target))
        found, left = ridge(np.stack(grams), np.stack(products), np.array(squares))
        weights.append(found if left < HELPS else np.zeros_like(found))
    return MapInverter(usual, np.stack(weights), prior)
