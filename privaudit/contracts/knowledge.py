"""Knowledge: what the adversary holds besides the transcript, as rungs of a ladder. Declared, or not handed over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from privaudit.contracts.cohort import Attribute, Volume
from privaudit.errors import KnowledgeError
from privaudit.imaging.atlas import Atlas


class Rung(StrEnum):
    """One thing an adversary may hold."""

    TRANSCRIPT = "transcript"
    """Encoded patches, their positions, and the image's grid (shape and affine), of every request."""
    ATLAS = "atlas"
    """Voxel-wise mean and variance of a population's brains."""
    POPULATION = "population"
    """Raw labelled scans of other people, and their age and sex where known."""
    POOL = "pool"
    """The scans that serve as mixing references."""
    WEIGHTS = "weights"
    """The mixing weights of every patch."""
    GALLERY = "gallery"
    """Raw scans of named people, from earlier sessions."""
    CANDIDATES = "candidates"
    """One raw scan of each of some named people: those of the pool and others, and nothing says who is which.

    It is for attacks that say whose scan was mixed in, and stands without 'atlas', 'population' and 'pool': they would
    tell the pool's people from the others before anything is looked at.
    """
    VIEWS = "views"
    """Which requests are views of one target."""
    RETURNED = "returned"
    """The maps that an error-free server sends back."""
    SERVED = "served"
    """The maps that the trained server network itself computes; only where an audit has its weights."""
    WIRE = "wire"
    """Captured traffic, from which everything else that was sent is inferred. No protocol declares it: an audit of
    traffic adds it to those that look at transcripts."""


RUNG_TEXT = {
    Rung.TRANSCRIPT: "encoded patches, their positions, and the grid (shape and affine)",
    Rung.ATLAS: "the mean and variance of a population's brains",
    Rung.POPULATION: "raw labelled scans of other people",
    Rung.POOL: "the scans that serve as mixing references",
    Rung.WEIGHTS: "the mixing weight of every patch",
    Rung.GALLERY: "raw scans of named people, from earlier sessions",
    Rung.CANDIDATES: "one raw scan of each of some named people, among them all whose scans are mixed in",
    Rung.VIEWS: "which requests are views of one target",
    Rung.RETURNED: "the maps that an error-free server sends back",
    Rung.SERVED: "the maps that the trained server network itself computes",
    Rung.WIRE: "the traffic itself: every byte of every request, their order and connections",
}


@dataclass(frozen=True)
class GalleryEntry:
    """A raw scan whose owner the attacker knows by name."""

    person: str
    load: Callable[[], Tensor]
    """Reads the image, float32 [X, Y, Z]."""


class Knowledge:
    """Hands over what was declared; anything else raises :class:`~privaudit.errors.KnowledgeError`."""

    def __init__(
        self,
        granted: Iterable[Rung],
        *,
        attack: str,
        atlas: Callable[[], Atlas],
        population: Sequence[Volume],
        pool: Sequence[Volume],
        gallery: Sequence[GalleryEntry],
        weights: Callable[[str], NDArray[np.float64]],
        attributes: Sequence[Mapping[str, Attribute]] = (),
        candidates: Sequence[GalleryEntry] = (),
    ) -> None:
        self.granted = frozenset(granted)
        self._attack = attack
        self._atlas, self._population, self._pool = atlas, population, pool
        self._gallery, self._weights = gallery, weights
        self._attributes, self._candidates = attributes, candidates

    def _need(self, rung: Rung) -> None:
        if rung not in self.granted:
            raise KnowledgeError(
                f"attack '{self._attack}' asked for '{rung}' knowledge that its protocol does not declare",
                allowed=", ".join(sorted(self.granted)),
                todo="add the rung to the protocol's knowledge, so that the card can say so",
            )

    @property
    def atlas(self) -> Atlas:
        """Mean and variance of the attacker's population sample."""
        self._need(Rung.ATLAS)
        return self._atlas()

    @property
    def population(self) -> Sequence[Volume]:
        """Raw labelled scans of people who are neither victims nor in the pool, read at each access."""
        self._need(Rung.POPULATION)
        return self._population

    @property
    def attributes(self) -> Sequence[Mapping[str, Attribute]]:
        """Age and sex of the people of :attr:`population`, in their order; what is not known is left out.

        Nobody else's are ever handed over: those of the people under attack are what an attack is to find.
        """
        self._need(Rung.POPULATION)
        return self._attributes

    @property
    def pool(self) -> Sequence[Volume]:
        """The labelled reference scans, read at each access."""
        self._need(Rung.POOL)
        return self._pool

    @property
    def gallery(self) -> Sequence[GalleryEntry]:
        """Raw scans of the victims' earlier sessions, with names."""
        self._need(Rung.GALLERY)
        return self._gallery

    @property
    def candidates(self) -> Sequence[GalleryEntry]:
        """Raw scans of people who may be in the pool, with names that tell nothing: the pool's people and others.

        One scan each, of the last session: where people have two, it is another one than is mixed in.
        """
        self._need(Rung.CANDIDATES)
        return self._candidates

    def weights(self, request: str) -> NDArray[np.float64]:
        """Mixing weights of the target, [V, N], in (0, 1]."""
        self._need(Rung.WEIGHTS)
        return self._weights(request)
