"""The contract of attacks (entry point ``privaudit.attacks``).

The core owns the call, the author writes ``protocols`` and ``run``. An attack sees transcripts and what its protocol's
knowledge grants; it never sees a secret and never scores itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import torch

from privaudit.contracts.claims import Claim
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.plugin import Plugin
from privaudit.contracts.scheme import Scheme
from privaudit.contracts.transcript import Transcript

if TYPE_CHECKING:
    from privaudit.contracts.defense import Defense


@dataclass(frozen=True)
class Protocol:
    """One way to run an attack.

    Attributes:
        name: for example 'encoded', 'raw-gallery', 'K=10'.
        knowledge: the rungs the attacker holds.
        views: how many views of each target are handed over; more than one needs ``Rung.VIEWS``.
        primary: whether its main figure decides a verdict, with a positive control; others support.
        curve: name of the line this protocol's figure is a point of, with ``curve_x`` as its abscissa.
        cheap: False where it takes long though its attack is cheap.
        repeated: the line's points repeat one measurement with other seeds: their mean and spread are noted.
        requests: how many requests, at least, are handed over at once, as if the server had no others; None for all.
            A protocol with a number never decides; such protocols draw a line of their own.
        fresh: whether it encodes more than each of the attacker's own scans as it is: changed images, or one image
            under several keys. Where only recorded encodings are there, it cannot run.
        unlike: whether it is only for views that are not drawn alike (:attr:`Defense.alike`).
    """

    name: str
    knowledge: frozenset[Rung]
    views: int = 1
    primary: bool = True
    curve: str | None = None
    curve_x: float = 0.0
    repeated: bool = False
    cheap: bool = True
    requests: int | None = None
    fresh: bool = False
    unlike: bool = False


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
        people: marks of everybody it was trained on (:meth:`privaudit.contracts.cohort.Cohort.marks_of`).
    """

    name: str
    digest: str
    people: tuple[str, ...]


@dataclass(frozen=True)
class Check:
    """One figure that says whether an attack works at all, whatever it finds.

    Attributes:
        name: what is looked at.
        figure: what was found.
        allowed: what it must be, in words.
        passed: whether it is; an attack with a failed check cannot say 'no leak'.
        fits: False where it failed because the attack is not made for such schemes: then its silence says nothing,
            and where another attack on the same victim fits and found nothing, that one's counts.
    """

    name: str
    figure: float
    allowed: str
    passed: bool
    fits: bool = True

    def __str__(self) -> str:
        """In words."""
        return f"{self.name} {self.figure:.3g} ({'as it must be: ' if self.passed else 'must be '}{self.allowed})"


@dataclass(frozen=True, eq=False)
class Illustration:
    """A picture that an attack draws of what it holds, not of anybody under attack.

    Attributes:
        name: file stem.
        caption: what is seen.
        rows: of titled volumes.
    """

    name: str
    caption: str
    rows: Sequence[Sequence[tuple[str, torch.Tensor]]]


@dataclass(frozen=True)
class Task:
    """What the core lends an attack: randomness, a device, a folder, a progress callback.

    Attributes:
        seed: of this audit; use :meth:`generator`.
        device: where tensors may be moved.
        msssim: 'fast' or 'reference', the implementation a similarity attack must use.
        workdir: a folder for checkpoints that survives a kill and belongs to this job alone.
        advance: call with a fraction of one request's work (0 to 1) done.
        attack_seed: the same for every protocol of the attack, for what they share.
        common_seed: the same for every attack of the audit, for what several of them learn.
        scheme: all of the defense but its keys, which an adversary knows (Kerckhoffs).
        facts: about the data.
        defense: a copy of the scheme, with the weights under audit, for an adversary to run with keys of its own.
    """

    seed: int
    device: torch.device
    msssim: Literal["fast", "reference"]
    workdir: Path
    advance: Callable[[float], None]
    scheme: Scheme
    facts: Facts = Facts("unknown", "real", 1.0, None)
    attack_seed: int = 0
    common_seed: int = 0
    defense: Defense | None = None

    @contextmanager
    def ahead(self, total: float) -> Iterator[Callable[[float], None]]:
        """Move the bar by up to ``total`` requests for work that none of them counts, such as learning, and back.

        Yields:
            A callback that takes shares of the work; they add up to 1.
        """
        done = 0.0

        def advance(share: float) -> None:
            nonlocal done
            done += total * share
            self.advance(total * share)

        yield advance
        self.advance(-done)  # the core counts each request once it is scored

    def rng(self, request: str) -> np.random.Generator:
        """A generator for one request: the same whatever the order in which requests are attacked."""
        digest = hashlib.sha256(f"{self.seed}:{request}".encode()).digest()
        return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))

    def generator(self, request: str) -> torch.Generator:
        """The same for torch, on the CPU."""
        return torch.Generator().manual_seed(int(self.rng(request).integers(2**62)))


class Attack(Plugin):
    """Base of every attack."""

    claim: ClassVar[str]
    """The kind of what it claims: 'reconstruction', 'similarity', or one that a plugin adds."""
    trivial: ClassVar[bool] = False
    """True for an attacker that anybody could be; its figures stand beside every other's."""
    reads_transcript: ClassVar[bool] = True
    """False for a trivial attacker that answers without looking: the leak threshold. Its protocols must not declare
    the 'transcript' rung, and it is handed empty transcripts; every other attack must declare it."""

    cheap: ClassVar[bool] = False
    """Whether it takes seconds, so that smaller planted leaks are tried too, for its detection limit."""
    together: ClassVar[bool] = False
    """Whether it needs all transcripts at once, so that a killed job begins again."""
    on_grid: ClassVar[bool] = False
    """Whether it solves for mixtures voxel by voxel: what is sent off the image's grid is nothing to it."""
    alone: ClassVar[bool] = False
    """Whether it is for schemes that mix nobody in."""
    about: ClassVar[tuple[str, ...] | None] = None
    """Whose privacy its claims speak of ('target', 'reference'); None for everybody whom its kind of claim knows."""
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

    def health(self, protocol: Protocol, knowledge: Knowledge, task: Task) -> Iterator[Check]:
        """Try the attack on what it holds itself, without the transcripts under attack; run once per primary protocol.

        Advance the task by 1 in all.
        """
        yield from ()

    def judge(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[Check]:
        """Checks of the finished table with its claims' diagnostics."""
        return ()

    def preview(self) -> Self | None:
        """The same attack at a cost that a picture allows, to show with several initialisations; None to show none."""
        return None

    def illustrate(self, knowledge: Knowledge, task: Task) -> Iterator[Illustration]:
        """Pictures of what the attack holds, for cohorts that may be shown."""
        yield from ()

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterable[Claim]:
        """Attack: yield claims of the attack's kind.

        One :class:`~privaudit.contracts.claims.Reconstruction` per transcript, or one
        :class:`~privaudit.contracts.claims.Similarity` for them all.
        """
        raise NotImplementedError
