"""Cohorts: lazily read sets of scans of people, and their split by person.

A *subject* is a person, a *session* one visit, a *scan* the image of one visit (BIDS words). The subject is the unit
of splits, of galleries and of every interval.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from privaudit.contracts.plugin import Plugin
from privaudit.errors import DataError, OptionError

BRAIN_LABELS = {0: "background", 1: "CSF", 2: "GM", 3: "WM"}
TUMOUR_LABELS = {0: "background", 1: "NCR", 2: "ED", 3: "ET"}
Attribute = float | str
"""What is known of a person: a number, or the name of a class."""


@dataclass(frozen=True)
class Volume:
    """One scan in memory.

    Attributes:
        image: float32 [X, Y, Z], intensities in [0, 1], background 0.
        labels: uint8 [X, Y, Z], 0 background and then the cohort's ``label_names``.
        affine: float64 [4, 4], voxel to world in millimetres, RAS orientation.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.uint8]
    affine: NDArray[np.float64]


@dataclass(frozen=True, order=True)
class ScanId:
    """Which person and which visit; never printed raw in a report unless the cohort is shareable."""

    subject: str
    session: str = "1"


class Cohort(ABC):
    """A lazily read set of scans on one grid (``shape``, ``voxel_mm``), every scan with image, labels and affine."""

    name: str
    shape: tuple[int, int, int]
    voxel_mm: float
    label_names: Mapping[int, str] = BRAIN_LABELS
    labelled: bool = True
    """False where there are no label maps, and the foreground stands for one: then no maps are attacked."""
    shareable: bool = False
    """True when voxels and subject ids may be shown to anybody."""
    simulated: str | None = None
    """What was made up, in the words every output repeats ('simulated rescans'), or None."""

    @property
    @abstractmethod
    def scans(self) -> Sequence[ScanId]:
        """Every scan, by subject, and each subject's from the earliest on, without duplicates."""

    @abstractmethod
    def load(self, scan: ScanId) -> Volume:
        """Read one scan; raises :class:`~privaudit.errors.DataError` naming the file and the cure."""

    def prepare(self, scans: Sequence[ScanId], jobs: int = 1, quiet: bool = True) -> None:  # noqa: B027 - optional
        """Make ready what will be read, ``jobs`` processes at a time, where that takes long; by default nothing."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 (hex) over the content of the data, or over all that generates it."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What else a reader of any figure must know of the data, in sentences without a full stop."""
        return ()

    @property
    def kind(self) -> str:
        """'virtual' or 'real' people."""
        return "virtual" if self.simulated is not None and "virtual" in self.simulated else "real"

    @cached_property
    def subjects(self) -> tuple[str, ...]:
        """The people, sorted."""
        return tuple(sorted({scan.subject for scan in self.scans}))

    def sessions_of(self, subject: str) -> tuple[ScanId, ...]:
        """The scans of one person, the earliest first."""
        return self._scans_of.get(subject, ())

    @cached_property
    def _scans_of(self) -> dict[str, tuple[ScanId, ...]]:
        return {subject: tuple(s for s in self.scans if s.subject == subject) for subject in self.subjects}

    def marks_of(self, subject: str) -> frozenset[str]:
        """What recognises a person again, sixteen hex digits for each scan, and tells nothing else.

        By default hashes of voxels; better is what does not depend on how scans are read.
        """
        return frozenset(mark(self.load(scan).image) for scan in self.sessions_of(subject))

    def attributes(self, subject: str) -> Mapping[str, Attribute]:
        """What is known of a person beside the scans: 'age' in years, 'sex' 'F' or 'M'; what is not known is left out.

        It is as secret as the scans: attacks get it of the attacker's own people alone, and it stands in no record.
        """
        return {}

    def __len__(self) -> int:
        return len(self.scans)


def mark(content: NDArray[Any] | str) -> str:
    """Sixteen hex digits that recognise an array, or a text, and tell nothing else about it."""
    data = content.encode() if isinstance(content, str) else np.ascontiguousarray(content, np.float32).tobytes()
    return hashlib.sha256(data).hexdigest()[:16]


def all_marks(cohort: Cohort, people: Iterable[str]) -> set[str]:
    """The marks of some people together."""
    return set().union(*(cohort.marks_of(person) for person in people))


def require_unseen(what: str, people: Iterable[str], cohort: Cohort, victims: Iterable[str]) -> None:
    """Refuse something that was trained on people under test.

    Args:
        what: it is, for the message: "the weights 'x' were".
        people: marks of everybody it was trained on.
        cohort: the data.
        victims: the people under test.

    Raises:
        OptionError: somebody was.
    """
    tested = list(victims)
    known = count_seen(people, cohort, tested)
    if known:
        raise OptionError(
            f"{what} trained on {known} of the {len(tested)} people under test",
            todo="use the split and seed of the training, or train on other people",
        )


def count_seen(marks: Iterable[str], cohort: Cohort, people: Iterable[str]) -> int:
    """How many of some people are among those whose marks these are."""
    known = set(marks)
    return sum(not known.isdisjoint(cohort.marks_of(person)) for person in people) if known else 0


class Dataset(Plugin):
    """A kind of cohort, by entry point ``privaudit.datasets``: options say where and how, ``open`` reads lazily."""

    help_missing: ClassVar[str] = ""
    """How to obtain and arrange the data, for the error when it is missing."""

    def open(self, *, cache: Path | None = None, jobs: int = 1, quiet: bool = True) -> Cohort:
        """Find the scans and check the layout; voxels are read later.

        Args:
            cache: folder for what is generated or converted once; None for the user's cache folder.
            jobs: processes for generating or converting.
            quiet: no progress bar.

        Raises:
            DataError: nothing is there, or it is not in the layout asked for.
        """
        raise NotImplementedError


ROLES = ("victims", "pool", "population")


@dataclass(frozen=True)
class Split:
    """Who plays which part. No person plays two.

    Attributes:
        victims: the people whose scans are encoded and attacked.
        pool: the people whose labelled scans serve as mixing references.
        population: the people whose raw scans the attacker holds.
    """

    victims: tuple[str, ...]
    pool: tuple[str, ...]
    population: tuple[str, ...]
    seed: int = 0
    fractions: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        seen: dict[str, str] = {}
        for role in ROLES:
            for subject in getattr(self, role):
                if subject in seen:
                    both = f"'{seen[subject]}' and '{role}'"
                    raise DataError(f"one person is in two splits ({both})", todo="give every subject one role")
                seen[subject] = role

    def counts(self) -> dict[str, int]:
        """Number of people in each role."""
        return {role: len(getattr(self, role)) for role in ROLES}


def split_subjects(
    subjects: Sequence[str], seed: int, victims: float = 0.5, pool: float = 0.25, population: float = 0.25
) -> Split:
    """Split people by a seeded hash of their names: the same names and seed give the same split on any machine.

    Args:
        subjects: distinct subject names.
        seed: any integer.
        victims: share of the people for each role; shares are positive and add up to 1 or less.
        pool: see ``victims``.
        population: see ``victims``.

    Raises:
        OptionError: the shares are not positive or add up to more than 1.
        DataError: there are too few people to give every role one, or a name occurs twice.
    """
    shares = {"victims": victims, "pool": pool, "population": population}
    if min(shares.values()) <= 0 or sum(shares.values()) > 1 + 1e-9:
        raise OptionError("split shares must be positive and add up to at most 1", got=shares)
    if len(set(subjects)) != len(subjects):
        raise DataError("a subject is listed twice", todo="merge its sessions under one name")
    order = sorted(subjects, key=lambda s: hashlib.sha256(f"{seed}:{s}".encode()).hexdigest())
    n = len(order)
    n_pool, n_population = max(1, round(n * pool)), max(1, round(n * population))
    if (n_victims := min(n - n_pool - n_population, max(1, round(n * victims)))) < 1:
        raise DataError("too few subjects to split", got=n, allowed="at least 3", todo="add subjects")
    if sum(shares.values()) > 1 - 1e-9 and n_victims + n_pool + n_population < n:  # rounding leaves nobody out
        lends = n * pool - n_pool >= n * victims - n_victims
        n_pool, n_victims = n_pool + lends, n_victims + (not lends)
    return Split(
        victims=tuple(sorted(order[:n_victims])),
        pool=tuple(sorted(order[n_victims : n_victims + n_pool])),
        population=tuple(sorted(order[n_victims + n_pool : n_victims + n_pool + n_population])),
        seed=seed,
        fractions=shares,
    )
