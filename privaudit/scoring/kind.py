"""Kinds of claims: what an attack may claim, and all that depends on it (entry point ``privaudit.claims``).

A kind says how claims are scored to rows, which trivial attackers stand beside, how rows become findings, and how a
finding reads in words. Jobs, audits, cards and reports ask the kind of a claim, and know none by name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from privaudit.contracts.attack import Attack
from privaudit.contracts.attack import Protocol as AttackProtocol
from privaudit.contracts.claims import Claim
from privaudit.contracts.cohort import Attribute, Cohort, Volume
from privaudit.contracts.plugin import Plugin
from privaudit.errors import ClaimError
from privaudit.results.record import Finding, Record
from privaudit.scoring.arms import Arm
from privaudit.scoring.images import ImageScorer
from privaudit.scoring.rows import Row
from privaudit.scoring.settings import ScoringSpec

if TYPE_CHECKING:
    from privaudit.scoring.scorecard import Scorecard, Scored

ClaimT = TypeVar("ClaimT", bound=Claim)
Titled = tuple[str, Tensor]
"""A volume [X, Y, Z] and what stands above it."""


class Secrets(Protocol):
    """What scoring may ask of whoever holds the secrets."""

    cohort: Cohort

    def truth(self, request: str) -> Volume:
        """The scan behind a request."""

    def bystander(self, request: str) -> Tensor | None:
        """What the first view was mixed with [X, Y, Z]; None where nothing was."""

    def bystander_labels(self, request: str) -> NDArray[np.int64] | None:
        """Labels of what the first view was mixed with [X, Y, Z]; None where nothing was, or they are not known.

        Where several people are in it: the label of the largest share, the lowest of equal ones.
        """

    def client_labels(self, request: str, views: int, served: bool) -> NDArray[np.int64]:
        """The label map [X, Y, Z] that the client itself ends with, from an error-free or from the trained server."""

    def attributes(self, request: str) -> Mapping[str, Attribute]:
        """What is known of the person behind a request: age and sex."""

    def person(self, request: str) -> str:
        """Pseudonym of the person behind a request."""

    def owner(self, request: str) -> str | None:
        """Pseudonym of whose image was mixed in; None where nobody's was, or several people's were."""

    def gallery_people(self) -> list[str]:
        """Pseudonyms of the raw gallery's entries, in their order."""

    def candidate_people(self) -> list[str]:
        """Names of those who may be a reference's owner, in the order of the attacker's scans of them."""

    def candidate(self, request: str) -> tuple[str, bool] | None:
        """Which of them was mixed in, and whether that very scan is the attacker's; None as for :meth:`owner`."""

    def alpha_fifth(self, request: str) -> int | None:
        """In which fifth of [0, 1] the target's mixing weight lies, 1 to 5; None where nothing is mixed."""


def known_of(secrets: Secrets, request: str) -> Row:
    """What a row says of a request whatever is claimed: its fifth of the mixing weight, and who was mixed in."""
    told = {"alpha_fifth": secrets.alpha_fifth(request), "owner": secrets.owner(request)}
    return {name: value for name, value in told.items() if value is not None}


@dataclass(frozen=True)
class Asked:
    """What an attack was asked, and what its claims are scored with.

    Attributes:
        attack: who claims.
        protocol: under which protocol.
        requests: what is still to be answered, in the order of the transcripts that were handed over.
        secrets: the truth.
        images: how images are compared.
        seed: of this attack and protocol.
        advance: call with the number of requests done.
    """

    attack: Attack
    protocol: AttackProtocol
    requests: tuple[str, ...]
    secrets: Secrets
    images: ImageScorer
    seed: int
    advance: Callable[[float], None]


def answered(claims: Iterable[Claim], asked: Asked, wanted: type[ClaimT]) -> Iterator[tuple[str, ClaimT]]:
    """Yield each request with its claim, checked; every request must be answered once.

    Raises:
        ClaimError: a claim of another kind, of a request that was not asked or has its answer, or requests without one.
    """
    waiting = set(asked.requests)
    for claim in claims:
        request = getattr(claim, "request", None)
        if not isinstance(claim, wanted) or request not in waiting:
            raise ClaimError(f"attack '{asked.attack.name}' claims something that was not asked", got=repr(claim)[:80])
        waiting.discard(request)
        yield request, claim.checked(asked.secrets.cohort.shape, asked.attack.name)
        asked.advance(1)
    if waiting:
        raise ClaimError(
            f"attack '{asked.attack.name}' left {len(waiting)} of {len(asked.requests)} requests unanswered"
        )


@dataclass(frozen=True)
class Words:
    """How a kind is spoken of.

    Attributes:
        noun: names the columns of sweeps: 'identity'.
        title: of plots: 're-identification'.
        gain: an axis of the joint card: 'identity: mAP above chance'.
        strongest: a column of the sweep's table.
        untested: what was not tried where no attack of the kind decides.
        panel: caption of its table on the joint card.
        columns: header of that table, between the attack and its control.
        frontier: axis of the card's plot of utility against the strongest attack; None to draw none.
        glossary: terms in words.
    """

    noun: str
    title: str
    gain: str
    strongest: str
    untested: str
    panel: str
    columns: tuple[str, ...]
    frontier: str | None = None
    glossary: Mapping[str, str] = field(default_factory=dict)


class ClaimKind(Plugin):
    """Base of every kind of claim; ``name`` is what ``Attack.claim`` says."""

    claim: ClassVar[type[Claim]]
    """The class of its claims."""
    metrics: ClassVar[Mapping[str, str]]
    """Every metric with its printed name; no other kind may have one of the same name."""
    ranges: ClassVar[Mapping[str, tuple[float, float]]] = {}
    """Least and greatest value of metrics, beyond which no interval reaches; of one left out anything is possible."""
    primary: ClassVar[str]
    """The metric that decides."""
    victims: ClassVar[tuple[str, ...]]
    """Whose privacy findings speak of, the main one first."""
    words: ClassVar[Words]
    beside: ClassVar[tuple[str, ...]] = ()
    """Trivial attackers that are always run where a claim of this kind is made."""
    controls: ClassVar[tuple[Arm, ...]] = ("planted",)
    """Planted leaks that a deciding figure is tried on; 'planted-reference' only where others are mixed in."""
    one_by_one: ClassVar[bool] = True
    """Whether each request is scored on its own, so that a killed job goes on with the next."""
    needs_sessions: ClassVar[bool] = False
    """Whether it says nothing where nobody has two sessions; candidates for a reference are looked up without."""
    names_owners: ClassVar[bool] = False
    """Whether its attacks may say whose scan was mixed in, among candidates."""
    unsaid: ClassVar[str] = ""
    """The victim whom most of its findings speak of, so that it need not be said."""
    needs_labels: ClassVar[bool] = False
    """Whether it compares with label maps."""
    needs_attributes: ClassVar[bool] = False
    """Whether it says nothing where nobody's age or sex is known."""
    private_rows: ClassVar[bool] = False
    """Whether something about a person could be worked out from rows: then tables are of shareable cohorts alone."""
    drawn: ClassVar[bool] = False
    """Whether its claims can be drawn, see :meth:`picture`."""

    def arms(self, attack: Attack) -> tuple[Arm, ...]:
        """Planted leaks that an attack's deciding figures are tried on."""
        return self.controls

    @property
    def deciding(self) -> frozenset[str]:
        """Every metric that decides: the primary one alone, unless a kind speaks of several things."""
        return frozenset({self.primary})

    def margin(self, scoring: ScoringSpec) -> float:
        """The least lead that counts as a leak, in units of the primary metric."""
        raise NotImplementedError

    def score(self, claims: Iterable[Claim], asked: Asked) -> Iterator[Row]:
        """Check claims as they arrive and yield a row for each request, with its 'request' and 'person'.

        Raises:
            ClaimError: a claim cannot be scored.
        """
        raise NotImplementedError

    def findings(self, scored: Scored, beside: Sequence[Scored], card: Scorecard) -> list[Finding]:
        """Findings of one attack under one protocol.

        Args:
            scored: its rows.
            beside: those of every trivial attacker of the same kind.
            card: settings.
        """
        raise NotImplementedError

    def sentence(self, finding: Finding, record: Record) -> str:
        """A deciding finding that has figures, in plain words."""
        raise NotImplementedError

    def cells(self, finding: Finding, record: Record) -> list[str] | None:
        """A finding's cells of the table on the joint card, as ``words.columns`` says; None to leave it out."""
        raise NotImplementedError

    def power(self, people: int, scans: int, scoring: ScoringSpec, rng: np.random.Generator) -> list[str]:
        """What claims about so many people with so many scans each can show, in sentences; before anything runs."""
        return []

    def picture(self, claim: Claim, request: str, asked: Asked) -> Titled:
        """A claim as an image, and its score in words; for kinds that can be drawn."""
        raise NotImplementedError

    def gallery(
        self, claims: Sequence[Claim], request: str, seen: Tensor, side: int, asked: Asked
    ) -> list[list[Titled]]:
        """Rows of pictures: what was sent for a request, and what was claimed from several initialisations.

        Args:
            claims: of the same request.
            request: which.
            seen: what was sent [X, Y, Z].
            side: of the patches that are shown.
            asked: the truth.
        """
        return []
