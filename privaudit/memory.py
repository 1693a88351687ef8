"""How much memory there is, and refusing what cannot fit: a machine that swaps or kills says nothing of why."""

from __future__ import annotations

import ctypes
import math
import os
import sys
from contextlib import suppress
from pathlib import Path

from privaudit.errors import DataError

GROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""What glibc's ``mallopt`` calls its options."""


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


def keep_pages() -> None:
    """Have the C library keep up to 128 MiB that are freed: taking them anew costs a tenth of a job's time.

    Volumes are larger than what it keeps by itself. Elsewhere than with glibc nothing happens.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):
            libc = ctypes.CDLL(None)
            libc.mallopt(MMAP_THRESHOLD, 2**26)
            libc.mallopt(TRIM_THRESHOLD, 2**27)
