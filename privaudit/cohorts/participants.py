"""Age and sex from the table of participants of a BIDS folder."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from privaudit.contracts.cohort import Attribute
from privaudit.errors import DataError, short

TABLE: Final = "participants.tsv"
MISSING: Final = frozenset({"", "n/a", "na", "nan"})
SEXES: Final[Mapping[str, str]] = {"f": "F", "female": "F", "m": "M", "male": "M"}
"""How BIDS lets a sex be written, in lower case; what is written otherwise ('O', 'other') counts as not known."""
OLDEST: Final = 130.0
"""Years."""


def read_participants(root: Path) -> dict[str, dict[str, Attribute]]:
    """Read the columns 'age' and 'sex' of ``participants.tsv`` (BIDS 1.10, "Participants file").

    Args:
        root: folder of the dataset.

    Returns:
        By the name of the person without 'sub-': 'age' in years, 0 to 130, and 'sex', 'F' or 'M'; what is missing
        ('n/a') is left out. Empty where there is no table.

    Raises:
        DataError: the table is unreadable or names nobody, or an age is no number of years.
    """
    path = root / TABLE
    if not path.is_file():
        return {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t"))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no table", got=short(error, 100), todo="save it as UTF-8, or remove it") from None
    if rows and "participant_id" not in rows[0]:
        raise DataError(f"{path} has no column 'participant_id'", todo="name people as BIDS does, or remove the file")
    found = {}
    for number, row in enumerate(rows, start=2):
        known: dict[str, Attribute] = {}
        age, sex = ((row.get(name) or "").strip().lower() for name in ("age", "sex"))
        if age not in MISSING:
            known["age"] = _years(age, path, number)
        if sex in SEXES:
            known["sex"] = SEXES[sex]
        found[(row["participant_id"] or "").strip().removeprefix("sub-")] = known
    return found


def _years(text: str, path: Path, line: int) -> float:
    """An age as a number; the message does not repeat what stands there."""
    try:
        age = float(text)
    except ValueError:
        age = math.nan
    if not 0 <= age <= OLDEST:
        raise DataError(
            f"{path}, line {line}: the age is no number of years", allowed=f"0 to {OLDEST:g}, or n/a", todo="correct it"
        )
    return age
