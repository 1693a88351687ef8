"""Seeds made from names: every random choice has a stream of its own, whatever else is drawn."""

from __future__ import annotations

import hashlib


def digest_from(*parts: object) -> bytes:
    """SHA-256 over names and numbers."""
    return hashlib.sha256(":".join(str(part) for part in parts).encode()).digest()


def seed_from(*parts: object) -> int:
    """A seed below 2**63 made from names and numbers.

    >>> seed_from(0, "bootstrap") == seed_from(0, "bootstrap") != seed_from(1, "bootstrap")
    True
    """
    return int.from_bytes(digest_from(*parts)[:8], "big") >> 1
