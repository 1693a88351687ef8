"""Recognising people in encodings: vectors of scans and ways to compare them, chosen on the attacker's own people."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import label_ranking_average_precision_score
from torch import Tensor

from privaudit.contracts.cohort import Volume
from privaudit.contracts.defense import Defense
from privaudit.imaging.patches import as_tensor
from privaudit.learning.features import Feature
from privaudit.learning.kept import Kept
from privaudit.learning.own_people import Others, Sampler, encode_own, fingerprint

Floats = NDArray[np.floating[Any]]
"""float32 for vectors of scans: they have some 10,000 components, and double precision takes twice the time."""
Scans = Sequence[Callable[[], Tensor]]
"""Each reads a volume [X, Y, Z]."""

LEAST: Final = 4
"""People to learn from: half of them are left out, and one is told from another."""
PEOPLE: Final = 24
"""Of the attacker's own people, at most so many are learned from."""
SCANS: Final = 4
"""Encodings of each (simulated sessions, fresh keys), and raw sessions where a gallery is raw."""
STACKED: Final = 3
"""Members whose similarities are added, at most."""
DIGITS: Final = 9
"""Decimals to which mAPs are compared: what differs by less is rounding."""
FLOOR: Final = 1e-9
"""Length below which a vector is nought."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """How vectors of a feature are compared: cosine after centring by kind, and after a linear map.

    Attributes:
        means: of encodings and of raw scans, each [D].
        scale: weight of each component, [D].
        away: directions that tell sessions and keys rather than people, [R, D], orthonormal; damped by ``damping`` [R].
        damping: from 0 (as it is) to 1 (left out).
    """

    means: tuple[Floats, Floats]
    scale: Floats
    away: Floats
    damping: Floats

    def units(self, vectors: Floats, kind: int) -> Floats:
        """Unit vectors [N, D] of vectors [N, D] of encodings (0) or raw scans (1)."""
        apart = (vectors - self.means[kind]) * self.scale
        apart = apart - (apart @ self.away.T * self.damping) @ self.away
        length = np.linalg.norm(apart, axis=1, keepdims=True)
        return np.asarray(np.divide(apart, length, out=np.zeros_like(apart), where=length > FLOOR))


WAYS: Final = ("plain", "in standard deviations", "whitened")


def learn_comparison(way: str, sent: Floats, raw: Floats | None) -> Comparison:
    """Learn a way to compare.

    Args:
        way: 'plain', 'in standard deviations' of each component, or 'whitened' within people: what differs between
            sessions and keys of one person counts less (within-class covariance normalisation, Hatch et al., 2006).
        sent: vectors of encodings, [P, S, D].
        raw: of raw scans, or None.
    """
    kinds = [sent] if raw is None else [sent, raw]
    # In double precision equal vectors have a mean that equals them, and nothing is left of them.
    means = [kind.mean(axis=(0, 1), dtype=np.float64).astype(kind.dtype) for kind in kinds]
    centred = np.concatenate([kind - mean for kind, mean in zip(kinds, means, strict=True)], axis=1)
    size = sent.shape[-1]
    scale = np.ones(size, sent.dtype)
    away, damping = np.zeros((0, size), sent.dtype), np.zeros(0, sent.dtype)
    if way != "plain":
        spread = centred.std(axis=(0, 1))
        scale = 1 / (spread + spread.mean() / 10 + FLOOR)
    if way == "whitened":
        within = ((centred - centred.mean(axis=1, keepdims=True)) * scale).reshape(-1, size)
        values, vectors = np.linalg.eigh((within @ within.T).astype(np.float64))
        kept = values > values.max(initial=0.0) * 1e-8
        away = (vectors[:, kept] / np.sqrt(values[kept])).T.astype(sent.dtype) @ within
        usual = values[kept].mean() if kept.any() else 1.0
        damping = (1 - np.sqrt(usual / (usual + values[kept]))).astype(sent.dtype)
    return Comparison((means[0], means[-1]), scale, away, damping)


def map_of(likeness: Floats, queries: Sequence[int], gallery: Sequence[int], same: bool) -> float:
    """Mean average precision of finding a query's person; ``same`` leaves each query itself out."""
    hits = np.array(queries)[:, None] == np.array(gallery)
    if same:
        off = ~np.eye(len(hits), dtype=bool)
        hits, likeness = (array[off].reshape(len(hits), -1) for array in (hits, likeness))
    return float(label_ranking_average_precision_score(hits, likeness))


@dataclass(frozen=True, eq=False)
class Recogniser:
    """Members whose similarities are added, and the mAP that they reach on own people who were left out."""

    members: Sequence[tuple[Feature, Comparison]]
    reached: float

    def likeness(self, queries: Scans, gallery: Scans | None, advance: Callable[[float], None]) -> Floats:
        """How alike each query is to each other, [Q, Q], or to each raw scan of a gallery, [Q, G].

        ``advance`` is called with the number of scans read.
        """
        total = np.zeros((len(queries), len(queries if gallery is None else gallery)))
        sent, raw = self._read(queries, 0, advance), None if gallery is None else self._read(gallery, 1, advance)
        for number, (_, comparison) in enumerate(self.members):
            one = comparison.units(sent[number], 0)
            other = one if raw is None else comparison.units(raw[number], 1)
            total += _standard(one @ other.T)
        return (total + total.T) / 2 if gallery is None else total

    def _read(self, scans: Scans, kind: int, advance: Callable[[float], None]) -> list[Floats]:
        found = []
        for scan in scans:
            volume = scan()
            found.append([(f.raw if kind else f.sent)(volume).float().numpy() for f, _ in self.members])
            advance(1)
        return [np.stack(column) for column in zip(*found, strict=True)]


def learn_recogniser(
    scheme: Defense, people: Sequence[Volume], features: Sequence[Feature], gallery: bool, seed: int,
    advance: Callable[[float], None], views: int = 1,
) -> Recogniser:  # fmt: skip
    """Choose features and ways to compare by the mAP on half of the own people, learned on the other half.

    Args:
        scheme: what encodes.
        people: the attacker's own, at least four.
        features: to choose from.
        gallery: whether encodings are compared with raw scans.
        seed: of keys and simulated sessions.
        advance: called with shares of the work; they add up to 1.
        views: of each encoding, averaged.
    """
    chosen, rng = min(PEOPLE, len(people)), np.random.default_rng([seed, 7])
    # Features may differ and have one name: what they make of a scan is in the key too.
    image = as_tensor(people[0].image)
    seen = [of(image).numpy().tobytes() for f in features for of in dict.fromkeys((f.sent, f.raw))]
    key = fingerprint(scheme, people, views, seed, [f.name for f in features], seen)
    sent, raw = _KEPT.learned(
        key, lambda: _own(scheme, people, views, features, rng, seed, lambda share: advance(0.8 * share)),
        lambda share: advance(0.8 * share),
    )  # fmt: skip
    owners = np.repeat(np.arange(chosen), SCANS)
    halves = [owners[owners % 2 == half].tolist() for half in (0, 1)]
    both = [
        (one.reshape(chosen, SCANS, -1), other.reshape(chosen, SCANS, -1) if gallery else None)
        for one, other in zip(sent, raw, strict=True)
    ]
    tried = {(number, way): _held_out(way, *both[number]) for number in range(len(features)) for way in WAYS}
    advance(0.2)

    def reached(members: Sequence[tuple[int, str]]) -> float:
        added = [np.sum([tried[member][half] for member in members], axis=0) for half in (0, 1)]
        found = [map_of(one, own, own, not gallery) for one, own in zip(added, halves, strict=True)]
        return round(float(np.mean(found)), DIGITS)

    # Own people's sessions are simulated, and others' may differ in other ways. So a feature is added as long as the
    # mAP does not fall: what tells own people apart by a hair better may tell others apart much worse.
    alone = {member: reached([member]) for member in tried}
    members: list[tuple[int, str]] = []
    best = 0.0
    while len(members) < STACKED:
        used = {number for number, _ in members}
        rest = {m: reached([*members, m]) if members else alone[m] for m in tried if m[0] not in used}
        found = max(rest, key=lambda member: (rest[member], alone[member]), default=None)
        if found is None or rest[found] < best:
            break
        members, best = [*members, found], rest[found]
    made = [(features[number], learn_comparison(way, *both[number])) for number, way in members]
    return Recogniser(made, best)


Own = tuple[list[Floats], list[Floats]]
_KEPT: Kept[Own] = Kept()


def _own(
    scheme: Defense, people: Sequence[Volume], views: int, features: Sequence[Feature], rng: np.random.Generator,
    seed: int, advance: Callable[[float], None],
) -> Own:  # fmt: skip
    """Vectors [people * SCANS, D] of every feature, of encodings and of raw scans of the attacker's own people."""
    sampler, keys = Sampler(scheme, people, views=1), random.Random(seed)
    count = min(PEOPLE, len(people))
    sent: list[list[Floats]] = [[] for _ in features]
    raw: list[list[Floats]] = [[] for _ in features]
    for person in np.repeat(np.arange(count), SCANS).tolist():
        volume = encode_own(scheme, sampler.session(person, rng), Others(people, person), keys, views)
        bare = sampler.session(person, rng)
        for column, plain, feature in zip(sent, raw, features, strict=True):
            column.append(feature.sent(volume).float().numpy())
            plain.append(feature.raw(bare).float().numpy())
        advance(1 / (count * SCANS))
    return [np.stack(column) for column in sent], [np.stack(column) for column in raw]


def _held_out(way: str, sent: Floats, raw: Floats | None) -> tuple[Floats, Floats]:
    """Likeness among the people of each half, in standard deviations, by what was learned on the other half."""
    found = []
    for half in (0, 1):
        there = np.arange(len(sent)) % 2 == half
        comparison = learn_comparison(way, sent[~there], None if raw is None else raw[~there])
        one = comparison.units(sent[there].reshape(-1, sent.shape[-1]), 0)
        other = one if raw is None else comparison.units(raw[there].reshape(-1, raw.shape[-1]), 1)
        found.append(_standard(one @ other.T))
    return found[0], found[1]


def _standard(likeness: Floats) -> Floats:
    return likeness / max(FLOOR, float(likeness.std()))
