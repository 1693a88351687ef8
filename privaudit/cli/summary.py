"""What an audit prints when it ends: the verdict, the deciding figures, where the card lies."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from privaudit.results.advice import undecided, verdict_line
from privaudit.results.overall import Verdict
from privaudit.results.record import Finding, Record
from privaudit.results.words import control_word, interval, roles_text, without_looking
from privaudit.scoring.kinds import whose

COLOURS: Final = {
    Verdict.LEAK: "bold red",
    Verdict.NO_LEAK_DETECTED: "bold green",
    Verdict.INCONCLUSIVE: "bold yellow",
}
HEADER: Final = ("attack", "metric", "estimate [95 % CI]", "baseline", "difference", "control", "n", "verdict")
WIDE: Final = 1000
"""Columns of what is no terminal: a pipe has no width, so a table is as wide as it needs to be."""


def _name(finding: Finding) -> str:
    return f"{finding.attack} {finding.protocol}{whose(finding)}"


def _row(finding: Finding) -> list[str]:
    return [
        _name(finding),
        finding.metric,
        interval(finding.estimate, finding.ci),
        *without_looking(finding),
        control_word(finding),
        str(finding.n_subjects),
        str(finding.verdict or "–"),
    ]


def terminal() -> Console:
    """Standard output, as wide as it is."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else WIDE)


def fits(table: Table, console: Console) -> bool:
    """Whether a table needs no more columns than there are."""
    return Measurement.get(console, console.options.update(width=WIDE), table).maximum <= console.width


def print_leaks(leaks: Sequence[str]) -> None:
    """Say what captured traffic held beside encoded patches."""
    console = terminal()
    for leak in leaks:
        console.print(f"LEFT BESIDE PATCHES: {leak}", style="bold red", markup=False, soft_wrap=True)
    if not leaks:
        console.print("traffic: every byte is accounted for: patches, and what the protocol needs", style="green")


def _say(console: Console, text: str, style: str | None = None, indent: str = "") -> None:
    """Print text that breaks between words where there is a terminal, and not at all where there is none."""
    lines = textwrap.wrap(text, max(20, console.width), subsequent_indent=indent, break_on_hyphens=False)
    for line in lines or [""]:
        console.print(line, style=style, markup=False, soft_wrap=True)


def print_figures(findings: Sequence[Finding], console: Console) -> None:
    """Print a table of findings; where it is too wide, each in lines of its own, verdict first. Nothing is cut."""
    table = Table(*HEADER)
    for finding in findings:
        table.add_row(*_row(finding), style=COLOURS[finding.verdict] if finding.verdict else None)
    if fits(table, console):
        console.print(table)
        return
    for finding in findings:
        name, metric, estimate, baseline, difference, control, people, verdict = _row(finding)
        style = COLOURS[finding.verdict] if finding.verdict else None
        _say(console, f"{verdict if finding.verdict else 'no verdict'}: {name}", style, "    ")
        told = f"  {metric} {estimate}; {baseline}, difference {difference}; control {control}; n {people}"
        _say(console, told, indent="    ")


def print_summary(record: Record, cards: Sequence[Path], quiet: bool, console: Console | None = None) -> None:
    """Print the figures that decide, why some do not, what is missing, where the cards lie, and the verdict."""
    console = console or terminal()
    data = record.dataset
    title = f"{record.defense.name} on {data.name}"
    if data.simulated:
        title += f" ({data.simulated})"
    if not quiet:
        print_figures(record.shown(), console)
        for finding in undecided(record):
            _say(console, f"INCONCLUSIVE {_name(finding)}: {finding.reason}", indent="    ")
        for item in record.missing:
            console.print(
                f"MISSING: {item.attack} {item.protocol}: {item.error}", style="bold red", markup=False, soft_wrap=True
            )
        for item in record.skipped:
            _say(console, f"not run: {item.attack} {item.protocol}: {item.error}", indent="    ")
        if sum(data.split.values()) < data.subjects:
            _say(console, f"beware: of {data.subjects} people, {roles_text(data.subjects, data.split)}", indent="    ")
        for note in data.notes:
            _say(console, f"beware: {note}", indent="    ")
        for note in record.defense.notes:
            _say(console, f"note: {note}", indent="    ")
        for card in cards:
            console.print(f"card: {card}", markup=False, soft_wrap=True)
    _say(console, f"{title}: {verdict_line(record)}", COLOURS[record.verdict])
