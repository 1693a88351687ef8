"""Progress on standard error: bars where somebody watches, else a line a job."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import typer

if TYPE_CHECKING:
    from privaudit.auditing.opening import Progress

EVERY: Final = 60.0
"""Seconds after which a job that is not done has another line."""


def say_unless(quiet: bool) -> Callable[[str], None]:
    """What prints a line on standard error, or nothing when quiet."""
    return (lambda text: None) if quiet else (lambda text: typer.echo(text, err=True))


@contextmanager
def progress_bars(quiet: bool, speed: bool = False) -> Iterator[Progress]:
    """Progress on stderr, one bar per job, with steps per second if asked; without a terminal a line per job.

    Nothing when quiet.
    """
    if quiet:
        yield lambda name, total: lambda amount: None
    elif sys.stderr.isatty():
        with _bars(speed) as progress:
            yield progress
    else:
        yield _lines


def _lines(name: str, total: int) -> Callable[[float], None]:
    """A line when a job is done, and one a minute before."""
    begun = told = time.monotonic()
    done = 0.0

    def advance(amount: float) -> None:
        nonlocal done, told
        before, done, now = done, done + amount, time.monotonic()
        ended = before < total - 1e-6 <= done
        if ended or now - told > EVERY:
            told = now
            typer.echo(f"{name}: {done:.0f} of {total}, {now - begun:.0f} s", err=True)

    return advance


@contextmanager
def _bars(speed: bool) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class _Speed(TextColumn):
        def __init__(self) -> None:
            super().__init__("{task.speed} it/s")

        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else f"{task.speed:.2f} it/s")

    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *([_Speed()] if speed else []),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    with bars:

        def progress(name: str, total: int) -> Any:
            task = bars.add_task(name, total=total)
            return lambda amount: bars.advance(task, amount)

        yield progress
