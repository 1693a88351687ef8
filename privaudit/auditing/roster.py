"""Who is who in an audit: opaque names of requests and people, which tell nothing about them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Literal

from privaudit.contracts.cohort import Attribute, Cohort, ScanId, Split
from privaudit.errors import DataError
from privaudit.seeds import digest_from


class Roster:
    """Names for every victim, every scan of theirs, and every owner of a reference, in an order that tells nothing.

    Args:
        cohort: the data.
        split: who plays which part.
        seed: of the audit.

    Attributes:
        source: hash of captured traffic, where transcripts are made of that; '' where the scheme makes them.
    """

    source: str = ""

    @property
    def leaks(self) -> tuple[str, ...]:
        """What is known to have been sent beside encoded patches; nothing where nothing was captured."""
        return ()

    @property
    def told(self) -> tuple[str, ...]:
        """What else a reader of the record must know of how transcripts came about."""
        return ()

    def __init__(self, cohort: Cohort, split: Split, seed: int) -> None:
        self.cohort, self.split, self.seed = cohort, split, seed
        scans = [scan for subject in split.victims for scan in cohort.sessions_of(subject)]
        scans.sort(key=lambda s: digest_from(seed, "request", s.subject, s.session))
        self._scan_of = {f"r{number:04d}": scan for number, scan in enumerate(scans)}
        people = sorted(split.victims, key=lambda s: digest_from(seed, "person", s))
        self._alias = {subject: f"P{number:03d}" for number, subject in enumerate(people, start=1)}
        owners = sorted(split.pool, key=lambda s: digest_from(seed, "owner", s))
        self._owner_alias = {subject: f"R{number:03d}" for number, subject in enumerate(owners, start=1)}
        both = sorted((*split.pool, *split.population), key=lambda s: digest_from(seed, "candidate", s))
        self._candidate_alias = {subject: f"C{number:03d}" for number, subject in enumerate(both, start=1)}

    def all_names(self) -> tuple[str, ...]:
        """Every opaque name: of requests, of victims, of owners of references, and of candidates for those."""
        named = self._alias, self._owner_alias, self._candidate_alias
        return (*self._scan_of, *(alias for aliases in named for alias in aliases.values()))

    @cached_property
    def classes(self) -> int:
        """Number of labels, background among them."""
        return max(self.cohort.label_names) + 1

    @property
    def requests(self) -> tuple[str, ...]:
        """Every encoded scan of every victim, by opaque name."""
        return tuple(self._scan_of)

    @cached_property
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

    def attributes(self, request: str) -> Mapping[str, Attribute]:
        """What is known of the person behind a request; secret, for scoring."""
        return self.cohort.attributes(self._scan_of[request].subject)

    def prepare(self, requests: Sequence[str], jobs: int, quiet: bool, candidates: bool = False) -> None:
        """Make ready the scans behind requests, and one of each other person, before anything reads them.

        With ``candidates`` those that an attacker looks references up in, too.
        """
        scans = {self._scan_of[request] for request in requests}
        scans |= {self.cohort.sessions_of(subject)[0] for subject in (*self.split.pool, *self.split.population)}
        scans |= {scan for _, scan in self.candidate_scans()} if candidates else set()
        self.cohort.prepare(sorted(scans), jobs, quiet)

    def gallery_scans(self) -> list[tuple[str, ScanId]]:
        """Pseudonym and scan of every victim's first session, in the order of pseudonyms."""
        return sorted((self._alias[s], self.cohort.sessions_of(s)[0]) for s in self.split.victims)

    def gallery_people(self) -> list[str]:
        """Pseudonyms of the gallery's entries, in their order."""
        return [alias for alias, _ in self.gallery_scans()]

    def candidate_scans(self) -> list[tuple[str, ScanId]]:
        """Name and last scan of everybody who may be a reference's owner, in an order that tells nothing.

        References are first scans: of who was scanned twice, the attacker holds another one than is mixed in.
        """
        return [(alias, self.cohort.sessions_of(subject)[-1]) for subject, alias in self._candidate_alias.items()]

    def candidate_people(self) -> list[str]:
        """Names of the candidates, in their order."""
        return list(self._candidate_alias.values())

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

    def require_attributes(self) -> None:
        """Refuse attacks on attributes where none is known.

        Raises:
            DataError: no victim's age or sex is known.
        """
        if not any(self.cohort.attributes(victim) for victim in self.split.victims):
            raise DataError(
                f"attacks on attributes need people whose age or sex is known, and in '{self.cohort.name}' nobody's is",
                todo="fill in age and sex in participants.tsv, or take --dataset phantom --phantom.attributes planted",
            )

    def attributes_digest(self) -> str:
        """A hash of what is known of everybody: it stands in no fingerprint, as scans are the same without."""
        known = [(subject, sorted(self.cohort.attributes(subject).items())) for subject in self.cohort.subjects]
        return digest_from("attributes", self.cohort.fingerprint, repr(known))[:12].hex()
