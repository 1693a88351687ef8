"""The scene: the one place that holds the secrets. It hands attacks what the adversary would hold, and no more."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Final, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.auditing.planting import Planted
from privaudit.auditing.references import References
from privaudit.auditing.volumes import LazyVolumes
from privaudit.contracts.attack import Attack, Protocol
from privaudit.contracts.cohort import Cohort, ScanId, Split, Volume
from privaudit.contracts.defense import Defense, Encoded, Key
from privaudit.contracts.knowledge import GalleryEntry, Knowledge, Rung
from privaudit.contracts.transcript import LazyTranscripts, Transcript
from privaudit.errors import DataError, KnowledgeError, PluginError
from privaudit.imaging.atlas import Atlas
from privaudit.imaging.patches import as_tensor, one_hot, stitch
from privaudit.scoring.arms import SHARES, Arm
from privaudit.seeds import digest_from, seed_from

SENT_KEPT: Final = 2**29
"""Bytes of slow encodings that are held: every attack asks for them again."""
SLOW: Final = 0.1
"""Seconds from which encoding a scan is slow: a client's network, say, or a random field."""


class Scene:
    """A cohort, a split, a defense and a seed.

    Requests and people get opaque names in an order that tells nothing; equal arguments give equal transcripts.
    """

    def __init__(self, cohort: Cohort, split: Split, defense: Defense, seed: int) -> None:
        self.cohort, self.split, self.defense, self.seed = cohort, split, defense, seed
        scans = [scan for subject in split.victims for scan in cohort.sessions_of(subject)]
        scans.sort(key=lambda s: digest_from(seed, "request", s.subject, s.session))
        self._scan_of = {f"r{number:04d}": scan for number, scan in enumerate(scans)}
        people = sorted(split.victims, key=lambda s: digest_from(seed, "person", s))
        self._alias = {subject: f"P{number:03d}" for number, subject in enumerate(people, start=1)}
        owners = sorted(split.pool, key=lambda s: digest_from(seed, "owner", s))
        self._owner_alias = {subject: f"R{number:03d}" for number, subject in enumerate(owners, start=1)}
        self._victims = LazyVolumes(cohort, scans)
        self._index = {request: number for number, request in enumerate(self._scan_of)}
        self._key: tuple[str, Key] | None = None
        self._sent: dict[tuple[str, int], Encoded] = {}
        self._references = References(cohort, split.pool, defense, seed, self.requests)
        self.pool = self._references.pool

    # what anybody may know -------------------------------------------------------------------------------------

    @property
    def requests(self) -> tuple[str, ...]:
        """Every encoded scan of every victim, by opaque name."""
        return tuple(self._scan_of)

    @property
    def later_requests(self) -> tuple[str, ...]:
        """Those that are not their person's first session: the probes against a raw gallery."""
        return tuple(r for r, s in self._scan_of.items() if s != self.cohort.sessions_of(s.subject)[0])

    def some_requests(self, scans: Literal["first", "all"], people: int | None) -> tuple[str, ...]:
        """Each person's first session, or every one, of so many people in the order of pseudonyms, or of all."""
        later = set(self.later_requests) if scans == "first" else set()
        chosen = set(sorted(self._alias.values())[:people])
        return tuple(r for r in self.requests if r not in later and self.person(r) in chosen)

    def person(self, request: str) -> str:
        """Pseudonym of the person behind a request."""
        return self._alias[self._scan_of[request].subject]

    def prepare(self, requests: Sequence[str], jobs: int, quiet: bool) -> None:
        """Make ready the scans behind requests, and one of each other person, before anything reads them."""
        scans = {self._scan_of[request] for request in requests}
        scans |= {self.cohort.sessions_of(subject)[0] for subject in (*self.split.pool, *self.split.population)}
        self.cohort.prepare(sorted(scans), jobs, quiet)

    # secrets, for scoring --------------------------------------------------------------------------------------

    def truth(self, request: str) -> Volume:
        """The scan behind a request."""
        return self._victims[self._index[request]]

    def bystander(self, request: str) -> Tensor | None:
        """What the first view was mixed with, as a volume [X, Y, Z]; None where nothing was."""
        key = self._key_of(request)
        patches = self.defense.bystanders(key, 1)
        if patches is None:
            return None
        return stitch(patches[0], self._encode(request, key, 1).positions, self.cohort.shape)

    def owner(self, request: str) -> str | None:
        """Pseudonym of whose image the first view was mixed with; None where nobody's is, or several people's are."""
        owners = self.defense.owners(self._key_of(request))
        share = self._references.share(request)
        return self._owner_alias[self.split.pool[share[owners[0]]]] if len(owners) == 1 else None

    def client_side(self, request: str, views: int) -> tuple[Volume, Key, Encoded]:
        """What the client holds of one request: its scan, its key and what it sends."""
        key = self._key_of(request)
        return self.truth(request), key, self._encode(request, key, views)

    @cached_property
    def has_bystanders(self) -> bool:
        """Whether the defense mixes in other people."""
        return self.defense.bystanders(self._key_of(self.requests[0]), 1) is not None

    @cached_property
    def population(self) -> LazyVolumes:
        """One scan of each person in the attacker's sample."""
        return LazyVolumes(self.cohort, [self.cohort.sessions_of(s)[0] for s in self.split.population])

    @cached_property
    def atlas(self) -> Atlas:
        """Mean and variance of the attacker's sample, accumulated one scan at a time."""
        mean = torch.zeros(self.cohort.shape, dtype=torch.float64)
        square = torch.zeros_like(mean)
        for number, volume in enumerate(self.population, start=1):
            delta = as_tensor(volume.image).double() - mean
            mean += delta / number
            square += delta * (as_tensor(volume.image).double() - mean)
        return Atlas(mean.float(), (square / max(1, len(self.population) - 1)).float())

    def _key_of(self, request: str) -> Key:
        """The request's key, drawn anew from its own seed; the last one is kept."""
        if self._key is None or self._key[0] != request:
            # An attack knows the audit's seed, but not the data: keys must not follow from what it is handed.
            rng = random.Random(seed_from(self.seed, "key", self.cohort.fingerprint, request))
            self._key = (
                request,
                self.defense.draw_key(self.cohort.shape, self._references.of(request), rng),
            )
        return self._key[1]

    def _encode(self, request: str, key: Key, views: int) -> Encoded:
        kept = self._sent.get((request, views))
        if kept is not None:  # an attack may write on what it is given
            return replace(kept, views=kept.views.clone())
        started = time.perf_counter()
        sent = self.defense.encode(as_tensor(self.truth(request).image), key, views)
        if not math.isfinite(float(sent.views.sum())):
            raise PluginError(f"defense '{self.defense.name}' sends values that are not finite", todo="mend its encode")
        held = sum(encoded.views.nbytes for encoded in self._sent.values())
        if time.perf_counter() - started > SLOW and held + sent.views.nbytes <= SENT_KEPT:
            self._sent[request, views] = replace(sent, views=sent.views.clone())
        return sent

    def witness(self) -> str:
        """Digest of what the scheme sends for the first request, encoded anew: it must not change during an audit."""
        request = self.requests[0]
        sent = self.defense.encode(as_tensor(self.truth(request).image), self._key_of(request), 1)
        return Transcript(request, sent.views, sent.positions, self.cohort.shape, np.eye(4)).digest()

    # what the adversary sees -----------------------------------------------------------------------------------

    def transcript(self, request: str, *, views: int = 1, arm: Arm = "audit", returned: bool = False) -> Transcript:
        """What is sent for one request; ``arm`` plants a leak for a positive control."""
        volume, key, scheme = self.truth(request), self._key_of(request), self.scheme_of(arm)
        sent, answer = self._encode(request, key, views), None
        labels = one_hot(volume.labels, max(self.cohort.label_names) + 1)
        if returned:
            answer = self.defense.respond(labels, key, views)
        if isinstance(scheme, Planted):  # from what is held of the scheme's own encodings
            sent = scheme.blended(sent, as_tensor(volume.image), key)
            answer = None if answer is None else scheme.answered(answer, labels, sent.positions)
        return Transcript(request, sent.views, sent.positions.copy(), self.cohort.shape, volume.affine.copy(), answer)

    def scheme_of(self, arm: Arm) -> Defense:
        """The scheme that sends on an arm: the defense, or one with a planted leak."""
        if arm not in SHARES:
            return self.defense
        return Planted(self.defense, SHARES[arm], others=arm == "planted-reference")

    def transcripts(self, requests: Sequence[str], protocol: Protocol, arm: Arm) -> LazyTranscripts:
        """The transcripts of a protocol, made anew at each access; empty ones without the 'transcript' rung.

        Raises:
            KnowledgeError: several views are asked for without the rung that links them.
        """
        if protocol.views > 1 and Rung.VIEWS not in protocol.knowledge:
            raise KnowledgeError(
                f"protocol '{protocol.name}' takes {protocol.views} views without knowing which belong together",
                todo=f"declare the rung '{Rung.VIEWS}'",
            )
        if Rung.TRANSCRIPT not in protocol.knowledge:
            nothing, nowhere = torch.empty((0, 0, 1, 1, 1)), np.empty((0, 3), dtype=np.int64)
            return LazyTranscripts(requests, lambda r: Transcript(r, nothing, nowhere, self.cohort.shape, np.eye(4)))
        returned = Rung.RETURNED in protocol.knowledge
        return LazyTranscripts(requests, lambda r: self.transcript(r, views=protocol.views, arm=arm, returned=returned))

    def gallery_scans(self) -> list[tuple[str, ScanId]]:
        """Pseudonym and scan of every victim's first session, in the order of pseudonyms."""
        return sorted((self._alias[s], self.cohort.sessions_of(s)[0]) for s in self.split.victims)

    def gallery_people(self) -> list[str]:
        """Pseudonyms of the gallery's entries, in their order."""
        return [alias for alias, _ in self.gallery_scans()]

    def knowledge(self, attack: Attack, protocol: Protocol, arm: Arm = "audit") -> Knowledge:
        """What a protocol declares, and nothing else; copies, or read-only. Weights are those of the arm."""
        gallery = []
        if Rung.GALLERY in protocol.knowledge:
            request_of = {scan: request for request, scan in self._scan_of.items()}

            def entry(alias: str, scan: ScanId) -> GalleryEntry:
                return GalleryEntry(alias, lambda: as_tensor(self.truth(request_of[scan]).image))

            gallery = [entry(alias, scan) for alias, scan in self.gallery_scans()]
        return Knowledge(
            protocol.knowledge,
            attack=attack.name,
            atlas=lambda: Atlas(self.atlas.mean.clone(), self.atlas.variance.clone()),
            population=self.population,
            pool=self.pool,
            gallery=gallery,
            weights=lambda request: self._weights(request, arm),
        )

    def alpha_fifth(self, request: str) -> int | None:
        """In which fifth of [0, 1] the first view's mean mixing weight lies, 1 to 5; None where nothing is mixed."""
        weights = self.defense.weights(self._key_of(request))
        return None if weights is None else min(5, 1 + int(5 * float(weights[0].mean())))

    def _weights(self, request: str, arm: Arm) -> NDArray[np.float64]:
        weights = self.scheme_of(arm).weights(self._key_of(request))
        if weights is None:
            raise KnowledgeError(f"defense '{self.defense.name}' has no mixing weights to know")
        return weights.copy()

    def require_sessions(self) -> None:
        """Refuse re-identification on a cohort where nobody has two sessions.

        Raises:
            DataError: no victim has a second scan.
        """
        if not self.later_requests:
            raise DataError(
                f"re-identification needs people with two or more sessions, and no victim in '{self.cohort.name}' has",
                todo="add --rescans 2 to simulate a second session (every output will say so)",
            )
