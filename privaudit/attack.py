"""The contract of attacks (entry point ``privaudit.attacks``).

The core owns the call, the author writes ``protocols`` and ``run``. An attack sees transcripts and what its protocol's
knowledge grants; it never sees a secret and never scores itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch

from privaudit.claims import Claim
from privaudit.knowledge import Knowledge, Rung
from privaudit.plugin import Plugin
from privaudit.transcript import Transcript


@dataclass(frozen=True)
class Protocol:
    """One way to run an attack.

    Attributes:
        name: for example 'encoded', 'raw-gallery', 'K=10'.
        knowledge: the rungs the attacker holds.
        views: how many views of each target are handed over; more than one needs ``Rung.VIEWS``.
        primary: whether its main figure decides a verdict, with a positive control; others support.
        curve: name of the line this protocol's figure is a point of, with ``curve_x`` as its abscissa.
    """

    name: str
    knowledge: frozenset[Rung]
    views: int = 1
    primary: bool = True
    curve: str | None = None
    curve_x: float = 0.0


@dataclass(frozen=True)
class Facts:
    """What anybody knows of the data under attack.

    Attributes:
        dataset: its name.
        kind: 'virtual' or 'real' people.
        voxel_mm: voxel size.
        patch_size: side of the patches that are sent, None for whole volumes.
    """

    dataset: str
    kind: str
    voxel_mm: float
    patch_size: int | None


@dataclass(frozen=True)
class Learned:
    """Something trained that an attack uses: the core refuses what has seen the people under attack.

    Attributes:
        name: of the weights.
        digest: of their content.
        people: ``person_hash`` of everybody's first scan it was trained on.
        unhealthy: reasons why the attack's silence would say nothing.
    """

    name: str
    digest: str
    people: tuple[str, ...]
    unhealthy: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """What the core lends an attack: randomness, a device, a folder, a progress callback.

    Attributes:
        seed: of this audit; use :meth:`generator`.
        device: where tensors may be moved.
        msssim: 'fast' or 'reference', the implementation a similarity attack must use.
        workdir: a folder for checkpoints that survives a kill and belongs to this job alone.
        advance: call with a fraction of one request's work (0 to 1) done.
        scheme: the defense's name and options, which an adversary knows (Kerckhoffs); only the key is secret.
        facts: about the data.
    """

    seed: int
    device: torch.device
    msssim: Literal["fast", "reference"]
    workdir: Path
    advance: Callable[[float], None]
    scheme: Mapping[str, Any]
    facts: Facts = Facts("unknown", "real", 1.0, None)

    def rng(self, request: str) -> np.random.Generator:
        """A generator for one request: the same whatever the order in which requests are attacked."""
        digest = hashlib.sha256(f"{self.seed}:{request}".encode()).digest()
        return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))

    def generator(self, request: str) -> torch.Generator:
        """The same for torch, on the CPU."""
        return torch.Generator().manual_seed(int(self.rng(request).integers(2**62)))


class Attack(Plugin):
    """Base of every attack."""

    claim: ClassVar[Literal["reconstruction", "similarity"]]
    trivial: ClassVar[bool] = False
    """True for an attacker that anybody could be; its figures stand beside every other's."""
    reads_transcript: ClassVar[bool] = True
    """False for a trivial attacker that answers without looking: the leak threshold. Its protocols must not declare
    the 'transcript' rung, and it is handed empty transcripts; every other attack must declare it."""

    beside: ClassVar[tuple[str, ...]] = ()
    """Trivial attackers that its figures need beside them, more than those that every reconstruction has."""

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """The ways to run it against a defense that sends ``views_sent`` views of each target."""
        raise NotImplementedError

    def learned(self, facts: Facts) -> Sequence[Learned]:
        """Trained things that the attack uses on such data; called before any work.

        Raises:
            OptionError: one is missing or does not fit.
        """
        return ()

    def complaints(self, rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        """Reasons, from the table with its claims' diagnostics, why the attack's silence would say nothing."""
        return ()

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterable[Claim]:
        """Attack: yield one :class:`Reconstruction` per transcript, or one :class:`Similarity` for them all."""
        raise NotImplementedError
