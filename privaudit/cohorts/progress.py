"""Run a list of calls in processes, with a progress bar where somebody watches."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

T = TypeVar("T")


def run_jobs(
    function: Callable[..., T], work: Sequence[tuple[Any, ...]], jobs: int, title: str, quiet: bool
) -> list[T]:
    """Call ``function(*arguments)`` for each entry of ``work``, ``jobs`` at a time, and return what they return.

    The bar goes to standard error; where that is no terminal, a line says when all is done.
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
    found = list(track(calls, title, total=len(work), console=console, disable=not watched, transient=True))
    if not quiet and not watched:
        print(f"{title}: {len(work)} of {len(work)}", file=sys.stderr)
    return found
