"""Learning from all values that are sent, whatever their shape: nothing is taken for a voxel, and nothing resampled.

The attacker's own people are encoded with fresh keys. Ridge regression in its dual form takes their values to their
images (Saunders, Gammerman and Vovk, ICML 1998); its penalty is chosen by people who were left out.
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
from privaudit.imaging.atlas import Atlas
from privaudit.imaging.patches import as_tensor
from privaudit.learning.kept import Kept
from privaudit.learning.own_people import Others, fingerprint, send_own
from privaudit.learning.ridge import CLEAR, PENALTIES

Floats = NDArray[np.float64]
LEAST: Final = 3
"""People to learn from: one is left out, and two have a mean."""
PEOPLE: Final = 48
"""Of the attacker's own people, at most so many are learned from."""
SURE: Final = 3.0
"""Standard errors by which a part must lead to be used."""
FLOOR: Final = 1e-9
"""Spread below which a value is constant."""

LONGEST: Final = 512
"""Entries along an axis up to which singular values are looked at."""


def energies(sent: Tensor) -> list[Tensor]:
    """Root mean squares of what is sent [n, …] along each of its axes, [n, k] each; none where there is one axis only.

    A secret rotation along an axis keeps them.
    """
    axes = [axis for axis in range(1, sent.ndim) if sent.shape[axis] > 1]
    return [sent.square().mean(dim=axis).sqrt().flatten(1) for axis in axes] if len(axes) > 1 else []


def singular_values(sent: Tensor) -> list[Tensor]:
    """Of what is sent [n, …], unfolded along each of its axes (De Lathauwer et al., SIAM J. Matrix Anal. 2000), [n, k].

    Secret rotations along all axes at once keep them, and so does any other order along an axis. Axes longer than
    :data:`LONGEST` are left out; so is all where there is one axis only.
    """
    axes = [axis for axis in range(1, sent.ndim) if 1 < sent.shape[axis] <= LONGEST] if sent.ndim > 2 else []
    unfolded = (sent.movedim(axis, 1).flatten(2).double() for axis in axes)
    return [torch.linalg.eigvalsh(one @ one.mT).clamp_min(0).sqrt().float() for one in unfolded]


class Reader:
    """What is read of an encoding: its values, their sizes, energies and singular values.

    Each is in standard deviations of own people's. Signs that are drawn at random are nothing to sizes, secret
    rotations along one axis are nothing to energies, a secret order along the other ones is nothing to energies in
    order, and rotations along all axes are nothing to singular values.

    Args:
        sent: own people's encodings [n, s, …], as :func:`values_of` gives them.
    """

    def __init__(self, sent: Tensor) -> None:
        self._usual = [(part.mean(dim=0), part.std(dim=0)) for part in self._parts(sent)]

    @staticmethod
    def _parts(sent: Tensor) -> list[Tensor]:
        found = []
        for one in sent.unbind(dim=1):
            found += [one.flatten(1), one.flatten(1).abs(), *singular_values(one)]
            found += [part for along in energies(one) for part in (along, along.sort(dim=1).values)]
        return found

    def read(self, sent: Tensor, unit: bool = False) -> list[Tensor]:
        """Vectors [n, m] of each part, of mean square 1 or of length 1; constant values are left out."""
        found = []
        for part, (mean, spread) in zip(self._parts(sent), self._usual, strict=True):
            apart = torch.where(spread > FLOOR, (part - mean) / spread.clamp_min(FLOOR), 0)
            found.append(torch.nn.functional.normalize(apart, dim=1) if unit else apart / apart.shape[1] ** 0.5)
        return found

    def likeness(self, one: Sequence[Tensor], other: Sequence[Tensor], weights: Floats | None = None) -> Floats:
        """The mean product over the parts, [n, k]: correlations of unit vectors. Equal weights where none are given."""
        products = [(a @ b.T).double().numpy() for a, b in zip(one, other, strict=True)]
        found: Floats = np.average(products, axis=0, weights=weights)
        return found


def telling(reader: Reader, first: Tensor, second: Tensor) -> Floats:
    """By how much each part tells own people apart who were encoded twice with fresh keys; 1 of each where none does.

    Of independent parts the best sum weighs each with its lead for the same person, over its variance for others.

    Args:
        reader: of encodings.
        first: own people's encodings [n, s, …].
        second: the same people's, in the same order.
    """
    weights, n = [], len(first)
    for a, b in zip(reader.read(first, unit=True), reader.read(second, unit=True), strict=True):
        products = (a @ b.T).double().numpy()
        others = products[~np.eye(n, dtype=bool)]
        lead, spread = float(np.trace(products)) / n - others.mean(), max(float(others.std()), 1e-6)
        weights.append(lead / spread**2 if lead * np.sqrt(n) > SURE * spread else 0.0)
    return np.array(weights) if any(weights) else np.ones(len(weights))


def values_of(transcript: Transcript) -> Tensor:
    """All values of one scan in their shape, float32 [s, …]: the mean of views, and their spread if there are several.

    Of two shares that make an image together, only the spread tells anything.
    """
    views = transcript.whole
    return views if len(views) == 1 else torch.stack([views.mean(dim=0), views.std(dim=0)])


def own_values(
    scheme: Defense, people: Sequence[Volume], views: int, encodings: int, seed: int, advance: Callable[[float], None]
) -> Tensor:
    """Values [people * encodings, s, …] of the attacker's own people, each encoded several times with fresh keys."""
    keys, rows = random.Random(f"values {seed}"), []
    for person, volume in enumerate(people):
        others = Others(people, person)
        for _ in range(encodings):
            rows.append(values_of(send_own(scheme, volume, others, keys, views, None)))
        advance(1 / len(people))
    return torch.stack(rows)


@dataclass(frozen=True, eq=False)
class ValuesInverter:
    """A fitted de-encoder.

    Attributes:
        atlas: mean image [X, Y, Z] of own people.
        reader: of encodings.
        known: what was read of own people, a part each [n, m].
        weights: float32 [n, X, Y, Z] of own encodings; empty where no correction helps.
        left: squared error of people left out, as a share of the atlas's; 1 where no correction helps.
    """

    atlas: Tensor
    reader: Reader
    known: Sequence[Tensor]
    weights: Tensor
    left: float

    def invert(self, transcript: Transcript) -> Tensor:
        """The picture [X, Y, Z] behind what was sent."""
        if not len(self.weights):
            return self.atlas.clone()
        kernel = self.reader.likeness(self.reader.read(values_of(transcript)[None]), self.known)[0]
        return (self.atlas + torch.einsum("n,nxyz->xyz", torch.from_numpy(kernel).float(), self.weights)).clamp(0, 1)


def learn_values(
    scheme: Defense, people: Sequence[Volume], atlas: Atlas, views: int, encodings: int, seed: int,
    advance: Callable[[float], None],
) -> ValuesInverter:  # fmt: skip
    """Fit a de-encoder on people whom the attacker encodes itself.

    Args:
        scheme: what encodes.
        people: the attacker's own, at least three.
        atlas: their mean and variance.
        views: of each encoding, averaged.
        encodings: of each person, each with a fresh key.
        seed: of keys.
        advance: called with shares of the work; they add up to 1.
    """
    chosen = people[:PEOPLE]
    sent = own_values(scheme, chosen, views, encodings, seed, lambda share: advance(0.8 * share))
    reader = Reader(sent)
    known = reader.read(sent)
    kernel = reader.likeness(known, known)
    images = torch.stack([as_tensor(volume.image) for volume in chosen])
    apart = images - atlas.mean
    flat = apart.flatten(1)
    products = (flat @ flat.T).double().numpy()
    owners = np.repeat(np.arange(len(chosen)), encodings)
    best, penalty = 0.0, None
    for tried in PENALTIES:
        gains = _gains(kernel, products, owners, tried, len(people))
        if gains.mean() > max(best, CLEAR * gains.std(ddof=1) / np.sqrt(len(gains))):
            best, penalty = float(gains.mean()), tried
    advance(0.2)
    if penalty is None:
        return ValuesInverter(atlas.mean, reader, known, torch.empty((0, *atlas.mean.shape)), 1.0)
    total = (1 + 1 / (len(people) - 1)) ** 2 * float(np.trace(products))
    solved = np.linalg.inv(kernel + penalty * np.eye(len(kernel)))
    of_people = torch.from_numpy(np.stack([solved[:, owners == p].sum(axis=1) for p in range(len(chosen))], axis=1))
    weights = torch.einsum("np,pxyz->nxyz", of_people.float(), apart)
    return ValuesInverter(atlas.mean, reader, known, weights, 1 - best * len(chosen) / total)


def _gains(kernel: Floats, products: Floats, owners: NDArray[np.int64], penalty: float, count: int) -> Floats:
    """By how much a correction lowers the squared error of each person left out, mean over the encodings.

    Images are compared with the mean of the others, which knows nothing of who is left out.

    Args:
        kernel: of encodings, [n, n].
        products: of people's images less the atlas, [p, p].
        owners: whose the encodings are, [n].
        penalty: of the regression.
        count: people that the atlas is the mean of.
    """
    gains, back = np.empty(len(products)), 1 / (count - 1)
    for person in range(len(products)):
        mine, own = owners == person, products[:, person]
        rest = kernel[np.ix_(~mine, ~mine)] + penalty * np.eye(int((~mine).sum()))
        weights = np.linalg.solve(rest, kernel[np.ix_(~mine, mine)]).T
        by_person = np.zeros((len(weights), len(products)))
        np.add.at(by_person.T, owners[~mine], weights.T)
        # Less the mean without this person, everybody's image has back times this one's more than less the atlas.
        among = products + back * (own[:, None] + own) + back**2 * own[person]
        truth = (1 + back) * (own + back * own[person])
        gains[person] = np.mean(2 * by_person @ truth - np.einsum("ep,pq,eq->e", by_person, among, by_person))
    return gains


_KEPT: Kept[ValuesInverter] = Kept()


def shared_values(
    scheme: Defense, people: Sequence[Volume], atlas: Atlas, views: int, encodings: int, seed: int,
    advance: Callable[[float], None],
) -> ValuesInverter:  # fmt: skip
    """:func:`learn_values`, or what it gave for the same arguments before; of too few people, the atlas."""
    if len(people) < LEAST:
        advance(1)
        nothing = torch.empty((0, *atlas.mean.shape))
        return ValuesInverter(atlas.mean, Reader(torch.zeros(2, 1, 1)), [torch.zeros(0, 1)] * 2, nothing, 1.0)
    key = fingerprint(scheme, people, "values", views, encodings, seed)
    return _KEPT.learned(key, lambda: learn_values(scheme, people, atlas, views, encodings, seed, advance), advance)
