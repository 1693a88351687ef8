"""What was learned is kept within a process: protocols, arms and attacks ask for the same again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

T = TypeVar("T")
MOST: Final = 16
"""Things that are held."""


class Kept(dict[str, T]):
    """Things by key, the ones learned last."""

    def learned(self, key: str, learn: Callable[[], T], advance: Callable[[float], None]) -> T:
        """What was learned under a key before, or is learned now.

        Args:
            key: everything that determines it, see :func:`~privaudit.learning.own_people.fingerprint`.
            learn: makes it, and says how far it is itself.
            advance: called with 1 where nothing is left to do.
        """
        if key in self:
            advance(1)
            return self[key]
        found = self[key] = learn()
        if len(self) > MOST:
            del self[next(iter(self))]  # the one that was learned first
        return found
