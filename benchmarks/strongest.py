"""The strongest attack of each kind on several schemes, from the records of finished audits, as one table.

Run with ``python -m benchmarks strongest FOLDER …``: every ``record.json`` below the folders is a row.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from privaudit.files import write_text
from privaudit.results.record import Finding, Record
from privaudit.results.record_files import read
from privaudit.results.words import interval

Chooser = Callable[[Finding], bool]


def _identity(protocol: str, attack: str | None = None) -> Chooser:
    def chosen(finding: Finding) -> bool:
        there = finding.metric == "map" and finding.protocol.startswith(protocol)
        return there and (attack is None or finding.attack == attack)

    return chosen


def _image(attack: str | None = None) -> Chooser:
    def chosen(finding: Finding) -> bool:
        there = (finding.metric, finding.victim) == ("ms_ssim", "target")
        return there and (finding.role != "baseline" if attack is None else finding.attack == attack)

    return chosen


COLUMNS: Final[dict[str, Chooser]] = {
    "image, MS-SSIM: not looking": _image("atlas"),
    "strongest": _image(),
    "label map, Dice: not looking": lambda f: (f.attack, f.metric) == ("frequent-labels", "map_dice"),
    "`decode-maps`": lambda f: (f.attack, f.metric, f.victim) == ("decode-maps", "map_dice", "target"),
    "who, encoded, mAP: `reid`": _identity("encoded", "reid"),
    "strongest, encoded": _identity("encoded"),
    "who, raw gallery, mAP: `reid`": _identity("raw-gallery", "reid"),
    "strongest, raw gallery": _identity("raw-gallery"),
}
SCHEME: Final = "{name}, random fields of {strength:g}"


def cell(record: Record, chosen: Chooser) -> str:
    """The greatest figure among those chosen, who reached it where several could, and its verdict."""
    found = [finding for finding in record.findings if chosen(finding) and finding.estimate is not None]
    if not found:
        return "–"
    best = max(found, key=lambda finding: finding.estimate or 0.0)
    names = {finding.attack for finding in found}
    text = interval(best.estimate, best.ci)
    text += f" ({best.attack})" if len(names) > 1 else ""
    return text + ("" if best.verdict is None else f" {best.verdict}")


def title(record: Record) -> str:
    """The scheme; of random fields their strength."""
    params = record.defense.params
    if params.get("weights") == "none":
        return SCHEME.format(name=record.defense.name, strength=float(params.get("strength") or 0.0))
    return record.defense.name


def table(records: Sequence[Record]) -> str:
    """The table in Markdown, a row for each record."""
    rows = [["", *COLUMNS], ["---"] * (len(COLUMNS) + 1)]
    rows += [[title(record), *(cell(record, chosen) for chosen in COLUMNS.values())] for record in records]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main(arguments: Sequence[str]) -> None:
    """Print the table, with what the records say of how they were made."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks strongest", description="Strongest attacks, a table.")
    parser.add_argument("folder", nargs="+", type=Path, help="of panels or runs")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table for the documentation")
    chosen = parser.parse_args(arguments)
    runs = [file.parent for folder in chosen.folder for file in folder.rglob("record.json")]
    records = sorted((read(run) for run in runs), key=lambda record: _place(record))
    if not records:
        raise SystemExit("no record.json below these folders")
    commits = sorted({str(record.provenance.get("commit") or "unknown")[:8] for record in records})
    data = records[0].dataset if records else None
    made = f"Commits {', '.join(commits)}" + (
        f"; {data.name}, {data.subjects} people, {data.scans} scans" if data else ""
    )
    text = f"{made}:\n\n{table(records)}\n"
    print(text)
    if chosen.markdown is not None:
        write_text(chosen.markdown, text)


def _place(record: Record) -> tuple[int, float]:
    order = ("none", "mixup", "privacy-net", "deformation")
    name, params = record.defense.name, record.defense.params
    strength = float(params.get("strength") or 0.0) if params.get("weights") == "none" else 0.0
    return order.index(name) if name in order else len(order), strength
