"""Which of a person's sessions is the earlier one: by acquisition time, by the table of sessions, else by name."""

from __future__ import annotations

import csv
import datetime
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from privaudit.cohorts.file_cohort import ScanFiles
from privaudit.contracts.cohort import ScanId
from privaudit.errors import DataError

MISSING: Final = frozenset({"", "n/a"})
HOW: Final = {
    "acq_time": "by their acq_time",
    "sessions.tsv": "as sessions.tsv lists them",
    "name": "by their names, as no times are known",
}


def order_scans(root: Path, files: Mapping[ScanId, ScanFiles], shareable: bool) -> tuple[list[ScanId], str]:
    """Order scans by person, and each person's from the earliest on.

    Times are those of BIDS: ``acq_time`` in ``*_scans.tsv`` beside the session, else in ``sub-*_sessions.tsv``, else
    the order of that table. They must be known of every session of a person; else names decide, numbers in them by
    size: ``ses-2`` stands before ``ses-10``, but ``ses-post`` before ``ses-pre``.

    Args:
        root: the dataset's folder.
        files: of every scan.
        shareable: whether the sentence may repeat names of sessions.

    Returns:
        The scans, and a sentence without a full stop that says which session counts as the earlier one; empty where
        nobody has two.

    Raises:
        DataError: a table of times cannot be read.
    """
    people: dict[str, list[ScanId]] = {}
    for scan in sorted(files):
        people.setdefault(scan.subject, []).append(scan)
    several = {subject: scans for subject, scans in people.items() if len(scans) > 1}
    how: Counter[str] = Counter()
    for subject, scans in several.items():
        people[subject], way = _order(root, scans, files)
        how[way] += 1
    if not several:
        return sorted(files), ""
    ways = [HOW[way] + (f" ({count} people)" if len(how) > 1 else "") for way, count in how.most_common()]
    told = f"sessions are put in order {' and '.join(ways)}; the first of a person counts as the earlier scan"
    if shareable and how["name"]:
        names = Counter(tuple(scan.session for scan in people[subject]) for subject in several)
        told += f", as in {' before '.join(names.most_common(1)[0][0])}"
    return [scan for scans in people.values() for scan in scans], told


def _order(root: Path, scans: Sequence[ScanId], files: Mapping[ScanId, ScanFiles]) -> tuple[list[ScanId], str]:
    by_name = sorted(scans, key=lambda scan: natural(scan.session))
    times = {scan: _time_of(files[scan].image) for scan in scans}
    table = _sessions(root / f"sub-{scans[0].subject}" / f"sub-{scans[0].subject}_sessions.tsv")
    if None in times.values():
        times = {scan: table.get(scan.session, (0, None))[1] for scan in scans}
    known = {scan: time for scan, time in times.items() if time is not None}
    if len(known) == len(scans) == len(set(known.values())):
        return sorted(by_name, key=lambda scan: known[scan]), "acq_time"
    if all(scan.session in table for scan in scans):
        return sorted(by_name, key=lambda scan: table[scan.session][0]), "sessions.tsv"
    return by_name, "name"


def natural(name: str) -> list[tuple[int, int, str]]:
    """A key that sorts numbers in names by their size.

    >>> sorted(["m12", "m6", "bl"], key=natural)
    ['bl', 'm6', 'm12']
    """
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name) if part]


def _time_of(image: Path) -> datetime.datetime | None:
    """When an image was taken, by the table of scans of its session: its own line, else the first time in the table."""
    tables = sorted(image.parent.parent.glob("*_scans.tsv"))
    if not tables:
        return None
    rows = _rows(tables[0], "filename")
    own = [row for row in rows if row["filename"].rpartition("/")[2] == image.name]
    times = [time for row in own or rows if (time := _time(row, tables[0])) is not None]
    return min(times, default=None)


def _sessions(path: Path) -> dict[str, tuple[int, datetime.datetime | None]]:
    """Line and time of each session in a table of sessions; empty where there is none."""
    rows = _rows(path, "session_id") if path.is_file() else []
    return {row["session_id"].removeprefix("ses-"): (line, _time(row, path)) for line, row in enumerate(rows)}


def _rows(path: Path, column: str) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = [{k: v or "" for k, v in row.items() if k} for row in csv.DictReader(stream, delimiter="\t")]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read: {type(error).__name__}", todo="repair or remove it") from None
    if rows and column not in rows[0]:
        raise DataError(f"{path} has no column '{column}'", todo="write it as BIDS does, or remove the file")
    return rows


def _time(row: Mapping[str, str], path: Path) -> datetime.datetime | None:
    """A time, without its zone; the message does not repeat what stands there."""
    text = row.get("acq_time", "").strip()
    if text.lower() in MISSING:
        return None
    try:
        return datetime.datetime.fromisoformat(text).replace(tzinfo=None)
    except ValueError:
        raise DataError(
            f"{path}: an acq_time is no date and time", allowed="2009-06-15T13:45:30 or n/a", todo="correct it"
        ) from None
