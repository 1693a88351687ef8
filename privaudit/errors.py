"""The one error base class: a message says what is wrong, what was got, what is allowed and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Final

LONGEST_PART: Final = 600
"""Characters of a part of a message that privaudit words itself."""


class PrivauditError(Exception):
    """Something the user can mend. The command line prints it as one line and exits with ``exit_code``."""

    exit_code = 2

    def __init__(self, what: str, *, got: object = None, allowed: object = None, todo: str | None = None) -> None:
        self.what, self.got, self.allowed, self.todo = what, got, allowed, todo
        parts = [short(what.rstrip("."), LONGEST_PART)]
        if got is not None:
            parts.append(f"got {short(got)}")
        if allowed is not None:
            parts.append(f"allowed: {short(allowed, LONGEST_PART)}")
        if todo is not None:
            parts.append(short(todo.rstrip("."), LONGEST_PART))
        super().__init__("; ".join(parts))


class DataError(PrivauditError):
    """A cohort's file or folder cannot be used as it is."""


class WriteError(PrivauditError):
    """A file or folder cannot be written: it may not be, its disk is full, or it is not there."""


class OptionError(PrivauditError):
    """An option of a plugin, a spec or a command is unknown or out of range."""


class PluginError(PrivauditError):
    """A plugin is unknown, broken, or claimed by two distributions."""


class KnowledgeError(PrivauditError):
    """An attack asked for knowledge that it has not declared."""


class ClaimError(PrivauditError):
    """An attack returned something that cannot be scored."""


class RecordError(PrivauditError):
    """A record or baseline file is missing, unreadable or of another schema."""


def short(value: object, most: int = 200) -> str:
    r"""A value as text of one line, cut where it is long: what somebody gave may be anything.

    >>> short("a\nb"), short("abcdefgh", 6)
    ('a b', 'abc...')
    """
    text = " ".join(str(value).split())
    return text if len(text) <= most else text[: most - 3] + "..."


def nearest(name: str, known: Iterable[str], before: str = "") -> str:
    """Return ``did you mean 'x'?`` for the closest known name, else a list of them all; ``before`` stands before each.

    >>> nearest("apha", ["alpha", "views"])
    "did you mean 'alpha'?"
    """
    known = sorted(set(known))
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"did you mean '{before}{close[0]}'?"
    return "known: " + ", ".join(f"{before}{name}" for name in known) if known else "none are known"
