"""The seeds of victims' keys: from an audit's own seed, or also from a secret that no plugin is told.

Runs must repeat, so keys follow from seeds. An attack knows the audit's seed, or guesses it; whoever can make the
cohort too could work the keys out. With a secret file that is out of reach, and the same file gives the same figures.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import stat
from pathlib import Path
from typing import Final

from privaudit.errors import OptionError
from privaudit.files import check_place, read_text, write_text
from privaudit.seeds import seed_from

BYTES: Final = 32


class KeySeeds:
    """Seeds of what only clients know, by name.

    Args:
        seed: of the audit.
        fingerprint: of the cohort: an attack knows the seed, but not all data.
        secret: what else goes in; empty for nothing.

    Attributes:
        mark: tells one secret from another, and nothing else about it; '' without one.
    """

    def __init__(self, seed: int, fingerprint: str, secret: bytes = b"") -> None:
        self._seed, self._fingerprint, self._secret = seed, fingerprint, secret
        self.mark = hmac.digest(secret, b"mark", "sha256").hex()[:12] if secret else ""

    def __repr__(self) -> str:
        return "<KeySeeds: secret>"

    def of(self, kind: str, *names: str) -> int:
        """The seed of a kind of secret ('key', 'share') and of whose it is: of 63 bits, or of 256 with a secret."""
        parts = self._seed, kind, self._fingerprint, *names
        if not self._secret:
            return seed_from(*parts)
        message = ":".join(map(str, parts)).encode()
        return int.from_bytes(hmac.digest(self._secret, message, "sha256"), "big")


def check_secret(path: Path | None) -> None:
    """Refuse a file that is no secret, before work starts; it may be missing.

    Raises:
        OptionError: it holds something else, or others may read it.
        WriteError: it is missing, and cannot be made.
    """
    if path is not None:
        if path.exists() or path.is_symlink():
            _read(path)
        else:
            check_place(path.parent)


def open_secret(path: Path | None) -> bytes:
    """The secret in a file, which is made where there is none, and which nobody else may read; empty without a file.

    Raises:
        OptionError: the file is no secret, or others may read it.
        WriteError: it cannot be written.
    """
    if path is None:
        return b""
    if not path.exists():
        write_text(path, secrets.token_hex(BYTES) + "\n", private=True)
    return _read(path)


def _read(path: Path) -> bytes:
    todo = "name another file with --key-secret (a new one is made)"
    text = read_text(path, OptionError, todo).strip()
    if not re.fullmatch(f"[0-9a-f]{{{2 * BYTES}}}", text):
        raise OptionError(
            f"{path} is no secret of keys", got=f"{len(text)} characters", allowed=f"a file of {2 * BYTES} hex digits",
            todo=todo,
        )  # fmt: skip
    mode = stat.S_IMODE(path.stat().st_mode)
    if os.name == "posix" and mode & 0o077:
        raise OptionError(
            f"others may read or change {path}", got=f"mode {mode:04o}", allowed="mode 0600", todo=f"chmod 600 {path}"
        )
    return bytes.fromhex(text)
