"""What an audit prints when it ends: the verdict, the deciding figures, where the card lies."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from privaudit.results.overall import Verdict
from privaudit.results.record import Finding, Record
from privaudit.results.words import interval, without_looking
from privaudit.scoring.kinds import whose

COLOURS = {Verdict.LEAK: "bold red", Verdict.NO_LEAK_DETECTED: "bold green", Verdict.INCONCLUSIVE: "bold yellow"}


def _row(finding: Finding) -> list[str]:
    return [
        f"{finding.attack} {finding.protocol}{whose(finding)}",
        finding.metric,
        interval(finding.estimate, finding.ci),
        *without_looking(finding),
        "–" if finding.control is None else "found" if finding.control.passed else "MISSED",
        str(finding.n_subjects),
        str(finding.verdict or "–"),
    ]


def print_leaks(leaks: Sequence[str]) -> None:
    """Say what captured traffic held beside encoded patches."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    for leak in leaks:
        console.print(f"LEFT BESIDE PATCHES: {leak}", style="bold red", markup=False, soft_wrap=True)
    if not leaks:
        console.print("traffic: every byte is accounted for: patches, and what the protocol needs", style="green")


def print_summary(record: Record, cards: Sequence[Path], quiet: bool, console: Console | None = None) -> None:
    """Print the headline, a table of the primary findings, what is missing, and where the cards lie."""
    # A pipe has no width: then the table is as wide as it needs to be.
    console = console or Console(highlight=False, width=None if sys.stdout.isatty() else 160)
    title = f"{record.defense.name} on {record.dataset.name}"
    if record.dataset.simulated:
        title += f" ({record.dataset.simulated})"
    if not quiet:
        table = Table("attack", "metric", "estimate [95 % CI]", "baseline", "difference", "control", "n", "verdict")
        for finding in record.shown():
            table.add_row(*_row(finding), style=COLOURS[finding.verdict] if finding.verdict else None)
        console.print(table)
        for item in record.missing:
            console.print(
                f"MISSING: {item.attack} {item.protocol}: {item.error}", style="bold red", markup=False, soft_wrap=True
            )
        for item in record.skipped:
            console.print(f"not run: {item.attack} {item.protocol}: {item.error}", markup=False, soft_wrap=True)
        for card in cards:
            console.print(f"card: {card}", markup=False, soft_wrap=True)
    console.print(
        f"{title}: {record.verdict}: {record.reason}", style=COLOURS[record.verdict], markup=False, soft_wrap=True
    )
