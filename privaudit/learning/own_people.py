"""The attacker's own people, as the scheme would send them: what learning attacks learn from."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from privaudit.contracts.cohort import Volume
from privaudit.contracts.defense import Defense
from privaudit.contracts.transcript import Transcript
from privaudit.imaging.patches import Shape, as_tensor, one_hot

FINEST: Final = 48
"""Volumes with a side above this are halved: who somebody is shows in shapes larger than a voxel."""
HELD_OUT: Final = 0.25
"""Share of people who are held out, to tell whether learning helped."""


class OneByOne(Sequence[Volume]):
    """Volumes that are made when they are asked for; a part of them is a list."""

    def one(self, index: int) -> Volume:
        """The volume at an index from 0 on."""
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> Volume: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Volume]: ...
    def __getitem__(self, index: int | slice) -> Volume | Sequence[Volume]:
        chosen = range(len(self))[index]
        return self.one(chosen) if isinstance(chosen, int) else [self.one(i) for i in chosen]


class Others(OneByOne):
    """Everybody but one."""

    def __init__(self, everybody: Sequence[Volume], left_out: int) -> None:
        self._everybody = everybody
        self._indices = [i for i in range(len(everybody)) if i != left_out]

    def __len__(self) -> int:
        return len(self._indices)

    def one(self, index: int) -> Volume:
        """Somebody else."""
        return self._everybody[self._indices[index]]


def encode_own(defense: Defense, image: Tensor, pool: Sequence[Volume], keys: random.Random, views: int = 1) -> Tensor:
    """What an attacker gets who encodes a scan itself with a fresh key: the mean of the views [X, Y, Z]."""
    shape: Shape = (image.shape[0], image.shape[1], image.shape[2])
    return defense.encode(image, defense.draw_key(shape, pool, keys), views).averaged(image)


def send_own(
    scheme: Defense, volume: Volume, pool: Sequence[Volume], keys: random.Random, views: int, classes: int | None
) -> Transcript:
    """What a server would see of one of the attacker's own people, under a fresh key.

    Args:
        scheme: what encodes.
        volume: who is sent.
        pool: references.
        keys: source of the key.
        views: of the scan.
        classes: of the maps that an error-free server sends back, background included; None where they are not known.
    """
    image = as_tensor(volume.image)
    shape: Shape = (image.shape[0], image.shape[1], image.shape[2])
    key = scheme.draw_key(shape, pool, keys)
    sent = scheme.encode(image, key, views)
    answer = None if classes is None else scheme.respond(one_hot(volume.labels, classes), key, views)
    return Transcript("own", sent.views, sent.positions, shape, volume.affine, answer, None, sent.sent)


def hold_out(count: int, least: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of so many people: those who are held out, a quarter and at least ``least``, and those learned from."""
    order = np.random.default_rng([seed, 0]).permutation(count)
    held = max(least, round(HELD_OUT * count))
    return np.sort(order[:held]), np.sort(order[held:])


def coarse(image: Tensor) -> Tensor:
    """A scan [1, 1, *shape] at the resolution that is compared, of a volume [X, Y, Z]."""
    scan = image[None, None]
    return nn.functional.avg_pool3d(scan, 2) if max(image.shape) > FINEST else scan


@dataclass(frozen=True)
class Sampler:
    """Scans of the attacker's people as the scheme would send them, or as a second session would look raw.

    Args:
        defense: the scheme; only the keys of its users are secret, and the attacker draws keys too.
        people: the attacker's sample.
        views: of each encoded scan, averaged.
        count: encodings of each person; they are made once, as a trained encoder takes its time.
        seed: of keys and sessions.
    """

    defense: Defense
    people: Sequence[Volume]
    views: int
    count: int = 16
    seed: int = 0
    _made: dict[tuple[int, int], Tensor] = field(default_factory=dict, repr=False)

    def encoded(self, person: int, number: int) -> Tensor:
        """One of a person's encodings [1, 1, *shape]."""
        which = person, number
        if which not in self._made:
            self._made[which] = self.encode(person, np.random.default_rng([self.seed, 4, *which]))
        return self._made[which]

    def both(self, person: int, size: int, gallery: bool, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Encodings of a person [size, 1, *shape], and what they are compared with: raw scans, or other encodings.

        No encoding is on both sides: to recognise a key again is no re-identification.
        """
        order = [int(number) for number in rng.permutation(self.count)]
        size = min(size, self.count if gallery else self.count // 2)
        sent = [self.encoded(person, number) for number in order[:size]]
        if gallery:
            others = [self.raw(person, rng) for _ in sent]
        else:
            others = [self.encoded(person, number) for number in order[size : 2 * size]]
        return torch.cat(sent), torch.cat(others)

    def encode(self, person: int, rng: np.random.Generator) -> Tensor:
        """Encode a session with a fresh key; references are the attacker's other people."""
        image, keys = self.session(person, rng), random.Random(int(rng.integers(2**62)))
        return coarse(encode_own(self.defense, image, Others(self.people, person), keys, self.views))

    def raw(self, person: int, rng: np.random.Generator) -> Tensor:
        """A raw scan [1, 1, *shape] of a person."""
        return coarse(self.session(person, rng))

    def session(self, person: int, rng: np.random.Generator) -> Tensor:
        """A person's scan as another session might show it: brightness, contrast, noise, a voxel's shift."""
        image = as_tensor(self.people[person].image)
        bright = image.clamp(0, 1) ** float(rng.uniform(0.9, 1.1)) * float(rng.uniform(0.95, 1.05))
        noise = torch.from_numpy(rng.normal(0, 0.01, size=tuple(image.shape)).astype(np.float32))
        shift = tuple(int(s) for s in rng.integers(-1, 2, size=3) * (rng.random(3) < 0.25))
        return torch.roll((bright + noise * (image > 0)).clamp(0, 1), shift, dims=(0, 1, 2))


def fingerprint(scheme: Defense, people: Sequence[Volume], *parts: object) -> str:
    """A hash of a scheme with its options and weights, of some people's images, and of what else matters.

    What it sends of one of them is in it too: a scheme that was edited may keep its name and its options.
    """
    weights = None if scheme.trained is None else scheme.trained.digest
    digest = hashlib.sha256(repr((scheme.name, scheme.params, weights, *parts)).encode())
    for volume in people:
        digest.update(volume.image.tobytes())
    sent = encode_own(scheme, as_tensor(people[0].image), Others(people, 0), random.Random(0))
    digest.update(sent.contiguous().numpy().tobytes())
    return digest.hexdigest()


_SHARED: dict[str, Sampler] = {}


def shared_sampler(defense: Defense, people: Sequence[Volume], views: int, count: int, seed: int) -> Sampler:
    """The sampler used last, if it is of the same: protocols and repetitions learn on the same encodings.

    Encoding a dozen people often enough takes longer than learning, where a network encodes.
    """
    key = fingerprint(defense, people, views, count, seed)
    if key not in _SHARED:
        _SHARED.clear()
        _SHARED[key] = Sampler(defense, people, views, count, seed)
    return _SHARED[key]
