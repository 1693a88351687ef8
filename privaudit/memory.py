"""How much memory there is, and refusing what cannot fit: a machine that swaps or kills says nothing of why."""

from __future__ import annotations

import math
import os
from pathlib import Path

from privaudit.errors import DataError

GROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def installed() -> float:
    """Bytes of memory of this machine, or of this container; infinite where the system does not tell."""
    try:
        found: float = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        found = math.inf
    try:
        return min(found, float(GROUP_LIMIT.read_text(encoding="utf-8")))
    except (OSError, ValueError):  # no container, or 'max'
        return found


def require_memory(needed: float, what: str, todo: str) -> None:
    """Refuse what cannot fit.

    Args:
        needed: bytes, by a low estimate.
        what: needs them.
        todo: what makes it smaller.

    Raises:
        DataError: it is more than this machine has.
    """
    if needed > installed():
        raise DataError(
            f"{what} needs more memory than there is", got=f"at least {needed / 2**30:,.0f} GiB",
            allowed=f"{installed() / 2**30:,.0f} GiB", todo=todo,
        )  # fmt: skip
