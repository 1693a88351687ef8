"""Choosing a normal form: an attacker tries each on people of its own, and takes what tells most of their images."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import torch
from torch import Tensor

from privaudit.contracts.cohort import Volume
from privaudit.contracts.defense import Defense, Encoded, Key
from privaudit.contracts.wrapped import Wrapped
from privaudit.imaging.atlas import Atlas
from privaudit.imaging.forms import FIRST, LAST, PLACES, Chain
from privaudit.imaging.patches import as_tensor
from privaudit.imaging.smoothing import box
from privaudit.learning.inversion import LEAST
from privaudit.learning.kept import Kept
from privaudit.learning.own_people import Others, encode_own, fingerprint
from privaudit.learning.ridge import ridge

SLOW: Final = frozenset({"moved and scaled back", "blocks of 4 put back", "warped back"})
"""Forms that are left out where time is short."""
ENOUGH: Final = 0.05
"""Share of the atlas's error below which what is sent as it is tells nearly all, and nothing else is tried."""
Effort = Literal["quick", "full"]
"""Without the slow forms, or with them."""
PEOPLE: Final = 12
"""Of the attacker's own people, so many are encoded at most, once each."""
SCREENED: Final = 5
"""Encodings that every chain is screened on."""
DIGITS: Final = 6
"""Decimals from which correlations count as different."""
MOST: Final = 4
"""Chains that are then tried in earnest."""
FLOOR: Final = 1e-12
"""Product of norms below which nothing differs from anything."""
VOXELS: Final = 10_000
"""Voxels of each scan that are looked at."""
RADII: Final = (1, 2)
"""Neighbourhoods whose mean is looked at beside the voxel."""


class Unwrapped(Wrapped):
    """A scheme, and a normal form of what it sends: one volume, of however many views.

    Args:
        scheme: what is attacked.
        chain: of forms.
        atlas: of the attacker's own people.
    """

    name = "unwrapped"
    summary = "a normal form of what a scheme sends"

    def __init__(self, scheme: Defense, chain: Chain, atlas: Atlas) -> None:
        super().__init__(scheme)
        self.chain, self.atlas = chain, atlas

    @property
    def params(self) -> dict[str, object]:
        """Those of the scheme, and the chain."""
        return {**super().params, "chain": str(self.chain)}

    def encode(self, image: Tensor, key: Key, views: int) -> Encoded:
        """The normal form of the mean of the views."""
        volume = self.inner.encode(image, key, views).averaged(image)
        return Encoded(self.chain(volume, self.atlas)[None, None], np.zeros((1, 3), dtype=np.int64))


@dataclass(frozen=True)
class Tried:
    """A chain, and the share of the atlas's squared error that it leaves of people left out.

    1 if it tells nothing; of many that are tried on few people some leave, by chance, up to a hundredth less.
    """

    chain: Chain
    left: float


def choose(
    scheme: Defense, people: Sequence[Volume], atlas: Atlas, views: int, effort: Effort, seed: int,
    advance: Callable[[float], None],
) -> list[Tried]:  # fmt: skip
    """Try chains on people whom the attacker encodes itself, the best first.

    All are screened on a few encodings, by the correlation of their deviation from their mean with that of the images;
    the most telling ones are then tried on more. What is sent as it is always among them.

    Args:
        scheme: what encodes.
        people: the attacker's own, at least three.
        atlas: their mean and variance.
        views: of each encoding, averaged.
        effort: which forms are tried.
        seed: of keys and voxels.
        advance: called with shares of the work; they add up to 1.
    """
    keys, rng = random.Random(f"choice {seed}"), np.random.default_rng(seed)  # other keys than the de-encoder's
    sent = []
    for person, volume in enumerate(people[:PEOPLE]):
        image, others = as_tensor(volume.image), Others(people, person)
        sent.append(encode_own(scheme, image, others, keys, views))
    as_sent = Tried(Chain(), _left(Chain(), sent, people, atlas, rng))
    if as_sent.left <= ENOUGH:
        advance(1)
        return [as_sent]
    few = sent[:SCREENED]
    truth = [as_tensor(volume.image) for volume in people[: len(few)]]
    scores = {chain: _telling(forms, truth) for chain, forms in _forms(few, atlas, effort, lambda s: advance(0.6 * s))}
    # Of chains that make the same of what is sent, the first, which is the simplest, is enough.
    distinct = {round(score, DIGITS): chain for chain, score in reversed(scores.items())}
    best = sorted(distinct.values(), key=lambda chain: -scores[chain])[:MOST]
    tried = [as_sent]
    for chain in best:
        if chain != Chain():
            tried.append(Tried(chain, _left(chain, sent, people, atlas, rng)))
        advance(0.4 / len(best))
    order = list(scores)
    return sorted(tried, key=lambda item: (round(item.left, 3), order.index(item.chain)))


def _forms(
    encodings: Sequence[Tensor], atlas: Atlas, effort: Effort, advance: Callable[[float], None]
) -> Iterator[tuple[Chain, list[Tensor]]]:
    """Every chain with its normal forms of some encodings; what chains begin with is computed once."""
    places = [place for place in PLACES if effort == "full" or place not in SLOW]
    for first, place in itertools.product(FIRST, places):
        begun = [PLACES[place](FIRST[first](encoding, atlas), atlas) for encoding in encodings]
        for last in LAST:
            yield Chain(first, place, last), [LAST[last](volume, atlas) for volume in begun]
        advance(1 / (len(FIRST) * len(places)))


def _telling(forms: Sequence[Tensor], truth: Sequence[Tensor]) -> float:
    """Correlation, without its sign, of normal forms with images, both as deviations from their means."""
    one, other = (torch.stack(list(volumes)) for volumes in (forms, truth))
    one, other = one - one.mean(dim=0), other - other.mean(dim=0)
    return abs(float((one * other).sum())) / max(FLOOR, float(one.norm() * other.norm()))


def _left(
    chain: Chain, sent: Sequence[Tensor], people: Sequence[Volume], atlas: Atlas, rng: np.random.Generator
) -> float:
    """Share of the atlas's squared error that a ridge regression on a chain leaves of people who were left out."""
    voxels = torch.nonzero(atlas.variance.flatten() > 0)[:, 0]
    seen = [chain(encoding, atlas) for encoding in sent]
    usual = torch.stack(seen).mean(dim=0)
    spread = atlas.variance.flatten().sqrt()
    grams, products, squares = [], [], []
    for volume, form in zip(people, seen, strict=False):
        image = as_tensor(volume.image)
        rest = atlas.mean_without(image, len(people))
        picked = some_voxels(voxels, rng)
        apart = form - usual
        plain = torch.stack([at.flatten()[picked] for at in (apart, *(box(apart, radius) for radius in RADII))])
        rows = torch.cat([plain, plain * spread[picked]]).double().numpy().T
        target = (image - rest).flatten()[picked].double().numpy()
        grams.append(rows.T @ rows)
        products.append(rows.T @ target)
        squares.append(float(target @ target))
    return ridge(np.stack(grams), np.stack(products), np.array(squares))[1]


def some_voxels(voxels: Tensor, rng: np.random.Generator) -> Tensor:
    """At most :data:`VOXELS` of these indices, drawn at random."""
    return voxels[torch.from_numpy(rng.choice(len(voxels), min(VOXELS, len(voxels)), replace=False))]


_KEPT: Kept[list[Tried]] = Kept()


def shared_choice(
    scheme: Defense, people: Sequence[Volume], atlas: Atlas, views: int, effort: Effort, seed: int,
    advance: Callable[[float], None],
) -> list[Tried]:  # fmt: skip
    """:func:`choose`, or what it gave for the same arguments before: protocols and attacks ask again.

    With fewer than three people nothing is tried but what is sent as it is.
    """
    if len(people) < LEAST:
        advance(1)
        return [Tried(Chain(), 1.0)]
    key = fingerprint(scheme, people, views, effort, seed)
    return _KEPT.learned(key, lambda: choose(scheme, people, atlas, views, effort, seed, advance), advance)
