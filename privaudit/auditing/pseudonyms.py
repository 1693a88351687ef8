"""Pseudonyms of people and requests as they stand in files: they follow from a key that only the run's owner holds.

Inside an audit, names follow from the seed, so that figures repeat; whoever has a list of subject ids could work those
out. What is written of a cohort that is not shareable has other names, in an order made with the private key.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from privaudit.errors import OptionError
from privaudit.files import check_place, read_text, write_text
from privaudit.scoring.rows import Row

KEY_FILE: Final = ".pseudonym-key"
"""Name of the key in a run folder."""
BYTES: Final = 32


class Pseudonyms:
    """A secret permutation of names with the same first letter; see :class:`privaudit.auditing.roster.Roster`.

    Args:
        names: as they are inside the audit: r0000, P001, R001, C001.
        key: the secret.
    """

    def __init__(self, names: Iterable[str], key: bytes) -> None:
        self.digest = hashlib.sha256(b"pseudonym key" + key).hexdigest()[:12]
        """Tells one key from another, and nothing else about it."""
        kinds: dict[str, list[str]] = {}
        for name in names:
            kinds.setdefault(name[0], []).append(name)

        def mixed(name: str) -> bytes:
            return hmac.digest(key, name.encode(), "sha256")

        pairs = [pair for some in kinds.values() for pair in zip(sorted(some), sorted(some, key=mixed), strict=True)]
        self._out = dict(pairs)
        self._back = {written: name for name, written in self._out.items()}

    def hide(self, row: Row) -> Row:
        """The row as it is written."""
        return {name: _renamed(value, self._out) for name, value in row.items()}

    def show(self, row: Row) -> Row:
        """The row as it was before."""
        return {name: _renamed(value, self._back) for name, value in row.items()}

    def in_text(self, text: str) -> str:
        """A text with the names that are written."""
        return re.sub(r"\b[rPRC]\d{3,}\b", lambda found: self._out.get(found[0], found[0]), text)


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, str):
        return names.get(value, value)
    if isinstance(value, list | tuple):
        return [_renamed(part, names) for part in value]
    if isinstance(value, dict):
        return {_renamed(key, names): _renamed(part, names) for key, part in value.items()}
    return value


def check_key(path: Path | None) -> None:
    """Refuse a file that is no key, before work starts; it may be missing.

    Raises:
        OptionError: it holds something else.
        WriteError: it is missing, and cannot be made.
    """
    if path is not None:
        if path.exists():
            _read(path)
        else:
            check_place(path.parent)


def ready_key(path: Path) -> None:
    """Make a key where there is none, which nobody else may read.

    Raises:
        WriteError: it cannot be written.
    """
    if not path.exists():
        write_text(path, secrets.token_hex(BYTES) + "\n", private=True)


def read_names(names: Iterable[str], path: Path) -> Pseudonyms:
    """The pseudonyms that a key gives.

    Raises:
        OptionError: the file is no key.
    """
    return Pseudonyms(names, _read(path))


def _read(path: Path) -> bytes:
    todo = "name another file with --pseudonym-key (a new one is made), or remove this one: people get other pseudonyms"
    text = read_text(path, OptionError, todo).strip()
    if not re.fullmatch(f"[0-9a-f]{{{2 * BYTES}}}", text):
        raise OptionError(f"{path} is no key of pseudonyms", allowed=f"a file of {2 * BYTES} hex digits", todo=todo)
    return bytes.fromhex(text)
