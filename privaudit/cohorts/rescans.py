"""Simulated rescans, for cohorts whose people were scanned once."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated

from pydantic import AfterValidator
from pydantic import Field as Option

from privaudit.cohorts.fields import generator
from privaudit.cohorts.sessions import RESCAN_VERSION, SESSION_MODEL_VERSION, SessionModel, rescan
from privaudit.contracts.cohort import Attribute, Cohort, ScanId, Volume
from privaudit.errors import OptionError


def _check(rescans: int) -> int:
    if rescans == 1:
        raise ValueError("must be 0 (none) or the number of sessions each person shall have, at least 2")
    return rescans


Rescans = Annotated[
    int,
    Option(ge=0, le=99, description="simulate sessions until each person has so many; 0: none (every output says so)"),
    AfterValidator(_check),
]


class RescanCohort(Cohort):
    """A cohort of one session each, and simulated sessions of the same people.

    Session 1 is the original. The others are simulated whenever they are asked for, equal each time: nothing of the
    people's images is written to disk.
    """

    simulated = "simulated rescans"

    def __init__(self, base: Cohort, sessions: int) -> None:
        self._base, self._model = base, SessionModel()
        self.name, self.shape, self.voxel_mm = base.name, base.shape, base.voxel_mm
        self.label_names, self.shareable, self.labelled = base.label_names, base.shareable, base.labelled
        self._origin: dict[ScanId, tuple[ScanId, int]] = {}
        for scan in base.scans:
            for number in range(1, sessions + 1):
                name = scan.session if number == 1 else f"{scan.session}+rescan{number:0{len(str(sessions))}}"
                self._origin[ScanId(scan.subject, name)] = scan, number

    @cached_property
    def scans(self) -> tuple[ScanId, ...]:
        """Every scan, sorted; the original is the first of each person."""
        return tuple(sorted(self._origin))

    def load(self, scan: ScanId) -> Volume:
        """Read the original, or simulate a rescan from it; the seed is subject and session number."""
        original, number = self._origin.get(scan, (scan, 1))
        volume = self._base.load(original)
        if number == 1:
            return volume
        return rescan(volume, generator("rescan", original.subject, number), self._model)

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of the originals."""
        return self._base.notes

    def prepare(self, scans: Sequence[ScanId], jobs: int = 1, quiet: bool = True) -> None:
        """Make the originals ready: rescans of one person are different by their making."""
        self._base.prepare(sorted({self._origin[scan][0] for scan in scans}), jobs, quiet)

    def attributes(self, subject: str) -> Mapping[str, Attribute]:
        """Those of the original."""
        return self._base.attributes(subject)

    def marks_of(self, subject: str) -> frozenset[str]:
        """Those of the original."""
        return self._base.marks_of(subject)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the originals' fingerprint and all that generates the rescans."""
        parts = (self._base.fingerprint, SESSION_MODEL_VERSION, RESCAN_VERSION, self._model, self.scans)
        return hashlib.sha256("\n".join(map(repr, parts)).encode()).hexdigest()


def add_rescans(cohort: Cohort, sessions: int) -> RescanCohort:
    """Return the cohort with simulated sessions, so that each person has ``sessions``.

    Raises:
        OptionError: somebody has several real sessions already.
    """
    several = sum(len(cohort.sessions_of(subject)) > 1 for subject in cohort.subjects)
    if several:
        raise OptionError(
            f"rescans are for cohorts with one session each; here {several} people have real ones",
            got=f"rescans={sessions}",
            todo="leave the option rescans out",
        )
    return RescanCohort(cohort, sessions)
