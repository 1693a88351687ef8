"""The ledger of a client: which references were mixed in, so that none ever is again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from privaudit.contracts.cohort import Cohort, Volume
from privaudit.errors import DataError
from privaudit.files import read_text, write_text, writing


@contextmanager
def unspent(
    ledger: Path, cohort: Cohort, pool: Mapping[str, Volume]
) -> Iterator[tuple[list[Volume], Callable[[Sequence[int]], None]]]:
    """References that were never mixed in, and a function that notes by their indices which now are.

    A line of the ledger is the mark of a scan (:meth:`privaudit.contracts.cohort.Cohort.marks_of`), and tells nothing
    else. It is locked meanwhile: two clients at a time would take the same references. Note them before anything is
    sent.

    Args:
        ledger: a text file; it need not be there.
        cohort: of the references.
        pool: references by person.

    Raises:
        DataError: the file is something else.
        WriteError: its folder is missing or read-only.
    """
    with writing(ledger):
        held = FileLock(ledger.with_name(ledger.name + ".lock")).acquire()
    with held:
        lines = read_text(ledger, DataError, "name another").split() if ledger.exists() else []
        if any(len(line) != 16 for line in lines):
            raise DataError(f"{ledger} is no ledger of references", allowed="16 hex digits a line", todo="name another")
        spent = set(lines)
        people = [person for person in pool if not spent & cohort.marks_of(person)]

        def spend(indices: Sequence[int]) -> None:
            marks = [mark for index in indices for mark in sorted(cohort.marks_of(people[index]))]
            write_text(ledger, "\n".join([*lines, *marks]) + "\n")

        yield [pool[person] for person in people], spend
