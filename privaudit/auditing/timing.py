"""A limit to the time that a job takes."""

from __future__ import annotations

import time
from collections.abc import Callable

from privaudit.auditing.scene import SLOW
from privaudit.errors import PrivauditError


def timed(
    advance: Callable[[float], None], limit: float | None, started: float, per_scan: float
) -> Callable[[float], None]:
    """A callback that stops a job which takes too long; it is looked at whenever the attack says how far it is.

    Args:
        advance: what is called otherwise.
        limit: seconds that a job has; None for as many as it takes.
        started: when it began, by ``time.perf_counter``.
        per_scan: seconds that it takes to encode a scan, for the message.
    """
    todo = "raise seconds_per_job in a specification, and it goes on where it stopped; or take fewer people"

    def checked(amount: float) -> None:
        if limit is not None and time.perf_counter() - started > limit:
            about = f"; to encode one scan takes {per_scan:.1f} s" if per_scan > SLOW else ""
            raise PrivauditError(f"left out: it took more than the {limit:g} s that a job has{about}", todo=todo)
        advance(amount)

    return checked
