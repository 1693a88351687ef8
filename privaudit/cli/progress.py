"""Progress bars on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from privaudit.auditing.opening import Progress


@contextmanager
def progress_bars(quiet: bool, speed: bool = False) -> Iterator[Progress]:
    """Progress on stderr, one bar per job, with steps per second if asked; nothing when quiet or not a terminal."""
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
        disable=quiet or not sys.stderr.isatty(),
    )
    with bars:

        def progress(name: str, total: int) -> Any:
            task = bars.add_task(name, total=total)
            return lambda amount: bars.advance(task, amount)

        yield progress
