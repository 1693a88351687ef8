"""Progress of work before an audit starts: calls in processes, and items that are taken one by one."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

T = TypeVar("T")
EVERY: Final = 60.0
"""Seconds after which work that is not done has another line."""


def counted(items: Iterable[T], total: int, title: str, quiet: bool) -> Iterator[T]:
    """Hand items on, with a line on standard error once a minute and at the end; nothing where nobody takes any."""
    begun = told = time.monotonic()
    done = 0
    for item in items:
        yield item
        done, now = done + 1, time.monotonic()
        if not quiet and (done == total or now - told > EVERY):
            told = now
            print(f"{title}: {done} of {total}, {now - begun:.0f} s", file=sys.stderr)


def run_jobs(
    function: Callable[..., T], work: Sequence[tuple[Any, ...]], jobs: int, title: str, quiet: bool
) -> list[T]:
    """Call ``function(*arguments)`` for each entry of ``work``, ``jobs`` at a time, and return what they return.

    The bar goes to standard error; where that is no terminal, a line says when all is done, and one a minute before.
    """
    if not work:
        return []
    from joblib import Parallel, delayed
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    calls = Parallel(n_jobs=min(jobs, len(work)), return_as="generator")(
        delayed(function)(*arguments) for arguments in work
    )
    watched = console.is_terminal and not quiet
    bar = track(calls, title, total=len(work), console=console, disable=not watched, transient=True)
    return list(counted(bar, len(work), title, quiet or watched))
