"""The utility half of a card: tables from the record, beside the paper's."""

from __future__ import annotations

from dataclasses import dataclass, field

from privaudit.results.record import Record, Utility
from privaudit.results.words import interval, number

PAPER_DICE = {
    "no encoding": {"GM": 0.930, "WM": 0.881, "CSF": 0.876, "mean": 0.896, "NCR": 0.846, "ED": 0.802, "ET": 0.894},
    "naive": {"GM": 0.758, "WM": 0.687, "CSF": 0.634, "mean": 0.693, "NCR": 0.656, "ED": 0.635, "ET": 0.692},
    "naive + TTA": {"GM": 0.852, "WM": 0.829, "CSF": 0.793, "mean": 0.825, "NCR": 0.775, "ED": 0.737, "ET": 0.804},
    "learned": {"GM": 0.893, "WM": 0.833, "CSF": 0.795, "mean": 0.840, "NCR": 0.805, "ED": 0.763, "ET": 0.842},
    "learned + TTA": {"GM": 0.925, "WM": 0.879, "CSF": 0.863, "mean": 0.889, "NCR": 0.841, "ED": 0.808, "ET": 0.872},
}
PAPER_TUMOUR_MEAN = {
    "no encoding": 0.847,
    "naive": 0.661,
    "naive + TTA": 0.772,
    "learned": 0.803,
    "learned + TTA": 0.840,
}
"""Table 1 of the paper: PPMI, and BraTS 2021 for tumours."""

PAPER_ICC = {"GM": 0.845, "WM": 0.812, "CSF": 0.803, "NCR": 0.842, "ED": 0.812, "ET": 0.803}


@dataclass(frozen=True)
class Table:
    """A header, rows of text, and what they are."""

    caption: str
    header: list[str]
    rows: list[list[str]] = field(default_factory=list)


def tables(record: Record) -> list[Table]:
    """Dice by method and structure, paired differences, and the ICC over two references; none without utility."""
    found = (_dice(record), _differences(record), _strata(record), _agreement(record))
    return [table for table in found if table.rows]


def _dice(record: Record) -> Table:
    items = [u for u in record.utility if u.metric == "dice"]
    structures = list(dict.fromkeys(u.structure for u in items))
    table = Table(
        "Dice, with intervals clustered by person; in brackets K, the views averaged (test-time augmentation)."
        " 'Paper' rows are Table 1 of Mixup-Privacy on its own data, for orientation.",
        ["Method", *structures, "People"],
    )
    tumour = "NCR" in structures
    for method in dict.fromkeys(u.method for u in items):
        row = {u.structure: u for u in items if u.method == method}
        first = next(iter(row.values()))
        name = f"{method} (K = {first.params.get('views')})" if method.endswith("+ TTA") else method
        table.rows.append([name, *(_cell(row.get(s)) for s in structures), str(first.n_subjects)])
        if record.defense.name in ("mixup", "none") and method in PAPER_DICE:
            paper = {**PAPER_DICE[method], **({"mean": PAPER_TUMOUR_MEAN[method]} if tumour else {})}
            values = [f"{paper[s]:.3f}" if s in paper else "–" for s in structures]
            table.rows.append([f"— paper, {method}", *values, "251" if tumour else "–"])
    return table


def _cell(item: Utility | None) -> str:
    return "–" if item is None else interval(item.estimate, item.ci)


def _differences(record: Record) -> Table:
    table = Table("Differences of mean Dice, paired by scan.", ["Method", "minus", "Difference", "People"])
    for u in record.utility:
        if u.metric == "dice difference":
            text = interval(u.estimate, u.ci, signed=True)
            table.rows.append([u.method, str(u.params.get("minus")), text, str(u.n_subjects)])
    return table


def _strata(record: Record) -> Table:
    items = [u for u in record.utility if u.metric == "dice" and u.structure == "mean" and u.by_alpha]
    fifths = sorted({fifth for u in items for fifth in u.by_alpha})
    table = Table(
        "Mean Dice by the target's mixing weight α: what is sent at a small α is mostly the reference.",
        ["Method", *(f"α {fifth}" for fifth in fifths)],
    )
    if len(fifths) > 1:
        table.rows.extend([[u.method, *(number(u.by_alpha.get(fifth)) for fifth in fifths)] for u in items])
    return table


def _agreement(record: Record) -> Table:
    table = Table(
        "Agreement of the Dice of one scan under two different references (one view each): ICC, two-way, single score"
        " (McGraw & Wong), with 95 % bounds. 1: the choice of the reference does not matter.",
        ["Method", "Structure", "ICC", "Paper, learned", "People"],
    )
    for u in record.utility:
        if u.metric == "icc":
            paper = f"{PAPER_ICC[u.structure]:.3f}" if u.structure in PAPER_ICC and u.method == "learned" else "–"
            table.rows.append([u.method, u.structure, interval(u.estimate, u.ci), paper, str(u.n_subjects)])
    return table
