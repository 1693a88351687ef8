"""Several defenses side by side: the paper's Table 1 (utility) and Table 2 (identity), as measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from privaudit.results.record import Finding, Record, Utility
from privaudit.results.words import attack_name, interval, number
from privaudit.scoring.kind import ClaimKind
from privaudit.scoring.kinds import all_kinds, findings_of, kinds_in
from privaudit_reports.card import control_text
from privaudit_reports.utility import PAPER_DICE, Table

UNFINISHED: Final = "NOT FINISHED"
PAPER_RIVALS: Final = {
    "privacy-net": {"GM": 0.905, "WM": 0.804, "CSF": 0.732, "mean": 0.813},
    "deformation": {"GM": 0.889, "WM": 0.825, "CSF": 0.757, "mean": 0.823},
}
"""Table 1 of Mixup-Privacy on PPMI, for the schemes that it compares with."""
PAPER_ATTACKS: Final = {
    ("none", "reid", "encoded"): {"macro F1": 0.988, "mAP": 0.998},
    ("privacy-net", "reid", "encoded"): {"macro F1": 0.092, "mAP": 0.202},
    ("deformation", "reid", "encoded"): {"macro F1": 0.122, "mAP": 0.147},
    ("mixup", "reid", "encoded"): {"macro F1": 0.284, "mAP": 0.352},
}
"""Among encoded scans, Table 2, by scheme, attack and protocol; random fields are nobody's publication."""


def title(record: Record) -> str:
    """A scheme by name, and what tells it from others of that name."""
    if record.defense.name == "deformation" and record.defense.params.get("weights") == "none":
        return "deformation (untrained)"
    return record.defense.name


def titles(records: Sequence[Record]) -> list[str]:
    """Names of the columns; where two would be the same, with the options that they differ in, or numbered."""
    names = [title(record) for record in records]
    told = [
        ", ".join([name, *_told(record, [r for r in records if title(r) == name])])
        for name, record in zip(names, records, strict=True)
    ]
    return [
        name if told.count(name) == 1 else f"{name}, no. {1 + told[:place].count(name)}"
        for place, name in enumerate(told)
    ]


def _told(record: Record, others: Sequence[Record]) -> list[str]:
    """The options in which schemes of one name differ; of paths, the last part."""
    return [
        f"{key}={Path(value).name if isinstance(value, str) else value}"
        for key, value in record.defense.params.items()
        if any(other.defense.params.get(key) != value for other in others)
    ]


def tables(records: Sequence[Record]) -> list[Table]:
    """Verdicts, utility, attacks by the kind of what they claim, what to beware of; those without rows are left out."""
    # Who is behind a scan comes first, as in the paper: its Table 2.
    kinds = sorted(_kinds(records), key=lambda kind: not kind.needs_sessions)
    attacks = [attacked(records, kind) for kind in kinds]
    found = (verdicts(records), strongest(records, kinds), dice(records), *attacks, doubts(records))
    return [table for table in found if table.rows]


def verdicts(records: Sequence[Record]) -> Table:
    """What each audit concluded."""
    table = Table("Verdicts: each audit's, over all of its attacks.", ["Defense", "Verdict", "Why"])
    for name, record in zip(titles(records), records, strict=True):
        gone = ", ".join(f"{item.attack} {item.protocol}" for item in record.missing)
        table.rows.append([name, str(record.verdict), record.reason + (f"; {UNFINISHED}: {gone}" if gone else "")])
    return table


def strongest(records: Sequence[Record], kinds: Sequence[ClaimKind]) -> Table:
    """The attack of each kind that gains most."""
    table = Table(
        "Strongest attacks: of each kind the one that gains most over not looking, or over chance.",
        ["Defense", *(kind.words.title for kind in kinds)],
    )
    for name, record in zip(titles(records), records, strict=True):
        cells = []
        for kind in kinds:
            best = strongest_of(record, kind, True)
            verdict = "" if best is None or best.verdict is None else f", {best.verdict}"
            cells.append("–" if best is None else f"{attack_name(best)}: {interval(best.estimate, best.ci)}{verdict}")
        table.rows.append([name, *cells])
    return table


def doubts(records: Sequence[Record]) -> Table:
    """What must be known of how the schemes were trained, and which attacks failed a check of themselves."""
    table = Table(
        "Beware: what trainings of schemes, and the attacks' checks of themselves, leave open.", ["Defense", ""]
    )
    for name, record in zip(titles(records), records, strict=True):
        failed = [
            f"{h.attack}, {h.protocol}, is not sound here, and its silence says nothing: {h.name} {number(h.figure)}"
            f" (must be {h.allowed})"
            for h in record.health
            if not h.passed
        ]
        told = [*(f"COLLAPSED: {flaw}" for flaw in record.defense.flaws), *record.defense.notes, *failed]
        table.rows.extend([name, text] for text in told)
    return table


def dice(records: Sequence[Record]) -> Table:
    """Table 1: Dice through each scheme."""
    structures = list(dict.fromkeys(u.structure for r in records for u in r.utility if u.metric == "dice"))
    table = Table(
        "Utility: Dice of the victims' scans, with intervals clustered by person. 'Paper' rows are Table 1 of"
        " Mixup-Privacy on its own data, for orientation.",
        ["Defense", *structures, "People", "Networks"],
    )
    for name, record in zip(titles(records), records, strict=True):
        found: dict[str, dict[str, Utility]] = {}
        for item in record.utility:
            if item.metric == "dice" and (item.method != "no encoding" or record.defense.name == "none"):
                found.setdefault(item.method, {})[item.structure] = item
        if not found and structures:
            table.rows.append([name, *("–" for _ in structures), record.utility_note or "not measured", "–"])
        networks = ", ".join(weights["name"] for weights in record.provenance.get("weights", [])) or "–"
        for method, items in found.items():
            mixing = record.defense.name == "mixup"
            cells = [interval(u.estimate, u.ci) if (u := items.get(s)) else "–" for s in structures]
            people = str(next(iter(items.values())).n_subjects)
            table.rows.append([f"{name}, {method}" if mixing else name, *cells, people, networks])
            own_paper = record.defense.name in ("none", "mixup")
            paper = PAPER_DICE.get(method) if own_paper else PAPER_RIVALS.get(title(record))
            if paper:
                own = f"{name}, {method}" if mixing else name
                table.rows.append([f"— paper, {own}", *(number(paper.get(s)) for s in structures), "–", "–"])
    return table


def _kinds(records: Sequence[Record]) -> tuple[ClaimKind, ...]:
    """Kinds of what was claimed; an attack that finished nowhere could be of any."""
    finished = {finding.attack for record in records for finding in record.findings}
    gone = {item.attack for record in records for item in record.missing} - {"utility"}
    return kinds_in(*records) if gone <= finished else all_kinds()


def attacked(records: Sequence[Record], kind: ClaimKind) -> Table:
    """Every attack of one kind on every scheme; columns in which nothing stands are left out."""
    own = list(kind.words.columns)
    table = Table(kind.words.panel, ["Defense", "Attack", *own, "control", "Verdict", "People"])
    for name, record in zip(titles(records), records, strict=True):
        for finding in findings_of(kind, record):
            cells = kind.cells(finding, record)
            if cells is None:
                continue
            end = [control_text(finding), str(finding.verdict or "–"), str(finding.n_subjects)]
            table.rows.append([name, attack_name(finding), *cells, *end])
            paper = PAPER_ATTACKS.get((title(record), finding.attack, finding.protocol))
            if paper is not None and not paper.keys().isdisjoint(own):
                figures = [number(paper.get(column)) for column in own]
                table.rows.append([f"— paper, {name}", attack_name(finding), *figures, *"–––"])
        table.rows.extend(_unfinished(name, record, kind, records, len(table.header)))
    for place in range(1 + len(own), 1, -1):
        if all(row[place] == "–" for row in table.rows):
            for row in (table.header, *table.rows):
                del row[place]
    return table


def _unfinished(name: str, record: Record, kind: ClaimKind, records: Sequence[Record], width: int) -> list[list[str]]:
    """A row for each attack that did not finish; one of which nothing is known could be of either kind."""
    found = [f for r in records for f in r.findings]
    others = {f.attack for f in found if f.metric not in kind.metrics}
    own = {f.attack for f in found if f.metric in kind.metrics}
    return [
        [name, f"{item.attack}, {item.protocol}", UNFINISHED, *("–" for _ in range(width - 3))]
        for item in record.missing
        if item.attack != "utility" and (item.attack in own or item.attack not in others)
    ]


@dataclass(frozen=True)
class Point:
    """Utility of one way to use a scheme, and the strongest attack on what it sends."""

    label: str
    dice: Utility
    attack: Finding


def points(record: Record, name: str, kind: ClaimKind) -> list[Point]:
    """Mean Dice with one view, and with all, each against attackers who get as many.

    None if an attack did not finish: it might have been the strongest.
    """
    if any(item.attack != "utility" for item in record.missing):
        return []
    found = {u.method: u for u in record.utility if u.metric == "dice" and u.structure == "mean"}
    out = []
    for several, methods in (
        (False, ("learned", "naive", "recorded maps")),
        (True, ("learned + TTA", "naive + TTA", "recorded maps + TTA")),
    ):
        wanted = ("no encoding",) if record.defense.name == "none" else methods
        dice = next((found[method] for method in wanted if method in found), None)
        attack = strongest_of(record, kind, several)
        if dice is not None and dice.estimate is not None and attack is not None:
            views = f" K={dice.params['views']}" if record.defense.params.get("views", 1) > 1 else ""
            out.append(Point(f"{name}{views}", dice, attack))
    return out[:1] if record.defense.name == "none" else out


def strongest_of(record: Record, kind: ClaimKind, several_views: bool) -> Finding | None:
    """The attack that gains most over not looking, or over chance."""
    wanted = (kind.victims[0], kind.primary)
    found = [
        f
        for f in record.findings
        if (f.victim, f.metric) == wanted and f.role != "baseline"
        and (several_views or "views" not in f.knowledge) and gain(f) is not None
    ]  # fmt: skip
    return max(found, key=lambda f: gain(f) or 0.0, default=None)


def gain(finding: Finding) -> float | None:
    """Difference to the best attacker who does not look, or to chance."""
    return None if finding.baseline is None else finding.baseline.difference
