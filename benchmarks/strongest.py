"""The strongest attack of each kind on several schemes, from the records of finished audits, as one table.

Run with ``python -m benchmarks strongest FOLDER …``: every ``record.json`` below the folders is a row. ``--utility``
takes mean Dice of the same schemes from audits below another folder, where the rows themselves have none.
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
from privaudit.scoring.utility import NONE

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


def utility(record: Record, others: Sequence[Record] = ()) -> str:
    """The best mean Dice of the scheme, and the method that has it; of another audit of it where this one has none."""
    same = [other for other in others if other.defense.name == record.defense.name]
    for source in (record, *same):
        found = [u for u in source.utility if (u.structure, u.metric) == ("mean", "dice") and u.estimate is not None]
        # Beside each scheme stands no encoding, which is not the scheme's own figure.
        found = [u for u in found if (u.method == NONE) == (record.defense.name == "none")]
        if found:
            best = max(found, key=lambda item: item.estimate or 0.0)
            return interval(best.estimate, best.ci) + ("" if best.method == NONE else f" ({best.method})")
    return "–"


def title(record: Record) -> str:
    """The scheme; of random fields their strength, of DP-Pix its ε, of a command its words."""
    params = record.defense.params
    if record.defense.name == "dp-pix":
        return f"dp-pix, ε = {params.get('epsilon')}"
    if record.defense.name == "command":
        return f"`{params.get('command')}`"
    if params.get("weights") == "none":
        return SCHEME.format(name=record.defense.name, strength=float(params.get("strength") or 0.0))
    return record.defense.name


def table(records: Sequence[Record], others: Sequence[Record] = ()) -> str:
    """The table in Markdown, a row for each record; utility of ``others`` where a record has none."""
    rows = [["", "verdict", "utility, mean Dice", *COLUMNS], ["---"] * (len(COLUMNS) + 3)]
    for record in records:
        figures = (cell(record, chosen) for chosen in COLUMNS.values())
        rows.append([title(record), str(record.verdict), utility(record, others), *figures])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main(arguments: Sequence[str]) -> None:
    """Print the table, with what the records say of how they were made."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks strongest", description="Strongest attacks, a table.")
    parser.add_argument("folder", nargs="+", type=Path, help="of panels or runs")
    parser.add_argument("--utility", type=Path, metavar="FOLDER", help="of audits that measured the schemes' utility")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table for the documentation")
    chosen = parser.parse_args(arguments)
    records = sorted(_below(chosen.folder), key=_place)
    if not records:
        raise SystemExit("no record.json below these folders")
    commits = sorted({str(record.provenance.get("commit") or "unknown")[:8] for record in records})
    data = records[0].dataset if records else None
    made = f"Commits {', '.join(commits)}" + (
        f"; {data.name}, {data.subjects} people, {data.scans} scans" if data else ""
    )
    others = [] if chosen.utility is None else _below([chosen.utility])
    text = f"{made}:\n\n{table(records, others)}\n"
    print(text)
    if chosen.markdown is not None:
        write_text(chosen.markdown, text)


def _below(folders: Sequence[Path]) -> list[Record]:
    return [read(file.parent) for folder in folders for file in sorted(folder.rglob("record.json"))]


def _place(record: Record) -> tuple[int, float]:
    order = ("none", "mixup", "privacy-net", "deformation", "dp-pix", "etc", "instahide")
    name, params = record.defense.name, record.defense.params
    strength = float(params.get("strength") or 0.0) if params.get("weights") == "none" else 0.0
    epsilon = float(params.get("epsilon") or 0.0) if name == "dp-pix" else 0.0
    return order.index(name) if name in order else len(order), strength + epsilon
