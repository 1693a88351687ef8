"""What became of malformed messages: counted by kind, and printed after a run that asks for many."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

CASES = int(os.environ.get("PRIVAUDIT_FUZZ_CASES", "50"))
"""Cases of each test that feeds malformed messages; the command in docs/serving.md sets 10,000."""


@dataclass
class Case:
    """One message, and what became of it, in a word or by status."""

    outcome: str = "nothing"


@dataclass
class Tally:
    """Counts over all cases.

    Attributes:
        outcomes: cases, by their kind and what became of them.
        wrong: cases that did not go as they should, by kind; repetitions by which hypothesis shortens them included.
        hangs: cases that timed out.
        crashes: servers that died.
        slowest: seconds of the slowest case.
        growth: megabytes by which the server's memory grew; None where there was no server.
    """

    outcomes: dict[str, Counter[str]] = field(default_factory=dict)
    wrong: Counter[str] = field(default_factory=Counter)
    hangs: int = 0
    crashes: int = 0
    slowest: float = 0.0
    growth: float | None = None

    @contextmanager
    def case(self, kind: str) -> Iterator[Case]:
        """Count one; what it raises goes on."""
        case, started = Case(), time.perf_counter()
        try:
            yield case
        except BaseException as error:
            self.wrong[kind] += 1
            self.hangs += "timeout" in type(error).__name__.lower()
            raise
        finally:
            self.outcomes.setdefault(kind, Counter())[case.outcome] += 1
            self.slowest = max(self.slowest, time.perf_counter() - started)

    def table(self) -> list[str]:
        """Lines of a table in Markdown, and one line about the server."""
        lines = ["| malformed messages | cases | answers | not as they should be |", "|---|---|---|---|"]
        for kind, found in self.outcomes.items():
            said = ", ".join(f"{outcome}: {count:,}" for outcome, count in sorted(found.items()))
            lines.append(f"| {kind} | {found.total():,} | {said} | {self.wrong[kind]} |")
        if self.growth is not None:
            server = f"The server: {self.crashes} crashes, {self.hangs} hangs, slowest answer {self.slowest:.2f} s"
            lines += ["", f"{server}, memory {self.growth:+.1f} MB."]
        return lines


TALLY = Tally()
