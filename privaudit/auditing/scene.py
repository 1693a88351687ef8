"""The scene: the one place that holds the secrets. It hands attacks what the adversary would hold, and no more."""

from __future__ import annotations

import copy
import random
import time
from collections.abc import Sequence
from functools import cached_property
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.auditing.answering import Answering
from privaudit.auditing.first_request import check_form, check_sent
from privaudit.auditing.key_secret import KeySeeds
from privaudit.auditing.planting import Planted, on_arm
from privaudit.auditing.references import References
from privaudit.auditing.roster import Roster
from privaudit.auditing.volumes import LazyVolumes, entries_of
from privaudit.contracts.attack import Attack, Protocol
from privaudit.contracts.cohort import Cohort, Split, Volume
from privaudit.contracts.defense import Defense, Encoded, Key
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.transcript import LazyTranscripts, Transcript
from privaudit.errors import KnowledgeError
from privaudit.imaging.atlas import Atlas
from privaudit.imaging.patches import as_tensor, most_likely, one_hot, stitch
from privaudit.scoring.arms import Arm

SENT_KEPT: Final = 2**29
"""Bytes of slow encodings that are held: every attack asks for them again."""
SLOW: Final = 0.1
"""Seconds from which encoding a scan is slow: a client's network, say, or a random field."""


class Scene(Roster):
    """A cohort, a split, a defense, a seed, and a secret that keys may depend on.

    Requests and people get opaque names in an order that tells nothing; equal arguments give equal transcripts.
    """

    def __init__(self, cohort: Cohort, split: Split, defense: Defense, seed: int, secret: bytes = b"") -> None:
        super().__init__(cohort, split, seed)
        self._seeds = KeySeeds(seed, cohort.fingerprint, secret)
        self.key_mark = self._seeds.mark
        # A scheme may keep what it was given: attacks get it as it was before that.
        self.defense, self._unused = defense, copy.deepcopy(defense)
        self._victims = LazyVolumes(cohort, list(self._scan_of.values()))
        self._index = {request: number for number, request in enumerate(self._scan_of)}
        self._key: tuple[str, Key] | None = None
        self._sent: dict[tuple[str, int], Encoded] = {}
        self._served: tuple[str, Tensor] | None = None
        self.form: tuple[int, ...] = ()
        """Shape of one view."""
        self.encodings, self.seconds_per_scan = "", 0.0
        """Digest of what is sent, and how long that takes: of :mod:`privaudit.auditing.witness`."""
        self.service: Answering | None = None
        """The trained networks, where the audit has any and an attack asks for their maps."""
        self.unserved = ""
        """Why there are none, where an attack does."""
        self._references = References(cohort, split.pool, defense, self._seeds, self.requests)
        self.pool = self._references.pool

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

    def bystander_labels(self, request: str) -> NDArray[np.int64] | None:
        """Labels of what the first view was mixed with [X, Y, Z]; None where nothing was, or they are not known."""
        key = self._key_of(request)
        known = self.defense.side_information(key, 1, self.classes)
        if known is None:
            return None
        return most_likely(stitch(known[0][0], self._encode(request, key, 1).positions, self.cohort.shape))

    def client_labels(self, request: str, views: int, served: bool) -> NDArray[np.int64]:
        """The label map [X, Y, Z] that the client ends with, from an error-free server or from the trained one."""
        key, labels = self._key_of(request), one_hot(self.truth(request).labels, self.classes)
        if served:
            assert self.service is not None
            return most_likely(self.service.decode(self._serve(request, key, views), self.defense, key))
        enough = 1 if self.defense.lossless else views
        return most_likely(self.defense.decode(self.defense.respond(labels, key, enough), key))

    def _serve(self, request: str, key: Key, views: int) -> Tensor:
        """What the trained server computes of a request; the last answer is kept, for whoever scores it."""
        name = f"{request} {views}"
        if self._served is None or self._served[0] != name:
            if self.service is None:
                raise KnowledgeError("there is no trained network whose maps could be known", todo="give its weights")
            self._served = name, self.service.respond(self._encode(request, key, views).views)
        return self._served[1].clone()

    def owner(self, request: str) -> str | None:
        """Pseudonym of whose image the first view was mixed with; None where nobody's is, or several people's are."""
        owner = self._owner(request)
        return None if owner is None else self._owner_alias[owner]

    def candidate(self, request: str) -> tuple[str, bool] | None:
        """The candidate whose image the first view was mixed with, and whether that very scan is what is held of it."""
        owner = self._owner(request)
        return None if owner is None else (self._candidate_alias[owner], len(self.cohort.sessions_of(owner)) == 1)

    def _owner(self, request: str) -> str | None:
        owners = self.defense.owners(self._key_of(request))
        return self.split.pool[self._references.share(request)[owners[0]]] if len(owners) == 1 else None

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
        """Mean and variance of the attacker's sample."""
        return Atlas.of(as_tensor(volume.image) for volume in self.population)

    def _key_of(self, request: str) -> Key:
        """The request's key; the last one is kept."""
        if self._key is None or self._key[0] != request:
            self._key = request, self.draw_key(request)
        return self._key[1]

    def draw_key(self, request: str) -> Key:
        """The request's key, drawn anew from its own seed."""
        # An attack knows the audit's seed, but not the data: keys must not follow from what it is handed.
        rng = random.Random(self._seeds.of("key", request))
        return self.defense.draw_key(self.cohort.shape, self._references.of(request), rng)

    def _encode(self, request: str, key: Key, views: int) -> Encoded:
        kept = self._sent.get((request, views))
        if kept is not None:  # an attack may write on what it is given
            return kept.copied()
        started = time.perf_counter()
        sent = self.defense.encode(as_tensor(self.truth(request).image), key, views)
        check_sent(self.defense, sent)
        self.form = check_form(self.defense, sent, self.form)
        held = sum(encoded.nbytes for encoded in self._sent.values())
        if time.perf_counter() - started > SLOW and held + sent.nbytes <= SENT_KEPT:
            self._sent[request, views] = sent.copied()
        return sent

    @cached_property
    def off_grid(self) -> tuple[int, ...] | None:
        """Shape of what is sent of one view where that is not on the image's grid; None where it is."""
        sent = self._encode(self.requests[0], self._key_of(self.requests[0]), 1).sent
        return None if sent is None else tuple(sent.shape[1:])

    def forget(self) -> None:
        """Drop encodings that are held."""
        self._sent.clear()

    # what the adversary sees -----------------------------------------------------------------------------------

    def transcript(
        self, request: str, *, views: int = 1, arm: Arm = "audit", returned: bool = False, served: bool = False
    ) -> Transcript:
        """What is sent for one request; ``arm`` plants a leak for a positive control."""
        volume, key, scheme = self.truth(request), self._key_of(request), self.scheme_of(arm)
        sent = self._encode(request, key, views)
        labels = one_hot(volume.labels, self.classes) if returned or served else torch.empty(0)
        answers = [
            self.defense.respond(labels, key, views) if returned else None,
            self._serve(request, key, views) if served else None,
        ]
        if isinstance(scheme, Planted):  # from what is held of the scheme's own encodings
            sent = scheme.blended(sent, as_tensor(volume.image), key)
            answers = [None if a is None else scheme.answered(a, labels, sent.positions, key) for a in answers]
        place = sent.positions.copy(), self.cohort.shape, volume.affine.copy()
        return Transcript(request, sent.views, *place, answers[0], answers[1], sent.sent)

    def scheme_of(self, arm: Arm) -> Defense:
        """The scheme that sends on an arm: the defense, or one with a planted leak."""
        return on_arm(self.defense, arm)

    def lent(self, arm: Arm) -> Defense:
        """The same for an attack: a copy, which it may train, of a scheme that has seen no victim and drawn no key."""
        return on_arm(copy.deepcopy(self._unused), arm)

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
        returned, served = Rung.RETURNED in protocol.knowledge, Rung.SERVED in protocol.knowledge
        return LazyTranscripts(
            requests,
            lambda r: self.transcript(r, views=protocol.views, arm=arm, returned=returned, served=served),
        )

    def knowledge(self, attack: Attack, protocol: Protocol, arm: Arm = "audit") -> Knowledge:
        """What a protocol declares, and nothing else; copies, or read-only. Weights are those of the arm."""
        named = self.gallery_scans() if Rung.GALLERY in protocol.knowledge else []
        candidates = self.candidate_scans() if Rung.CANDIDATES in protocol.knowledge else []
        return Knowledge(
            protocol.knowledge,
            attack=attack.name,
            atlas=lambda: Atlas(self.atlas.mean.clone(), self.atlas.variance.clone()),
            population=self.population,
            pool=self.pool,
            gallery=entries_of(self._victims, named),
            weights=lambda request: self._weights(request, arm),
            attributes=[dict(self.cohort.attributes(subject)) for subject in self.split.population],
            candidates=entries_of(LazyVolumes(self.cohort, [scan for _, scan in candidates]), candidates),
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
