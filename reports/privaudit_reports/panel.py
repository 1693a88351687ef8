"""Several defenses side by side: the paper's Table 1 (utility) and Table 2 (identity), as measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from privaudit.record import Finding, Record, Utility
from privaudit_reports.card import attack_name, interval, metric, number
from privaudit_reports.utility import PAPER_DICE, Table

PAPER_RIVALS: Final = {
    "privacy-net": {"GM": 0.905, "WM": 0.804, "CSF": 0.732, "mean": 0.813},
    "deformation": {"GM": 0.889, "WM": 0.825, "CSF": 0.757, "mean": 0.823},
}
"""Table 1 of Mixup-Privacy on PPMI, for the schemes that it compares with."""
PAPER_REID: Final = {
    "none": (0.988, 0.998), "privacy-net": (0.092, 0.202), "deformation": (0.122, 0.147), "mixup": (0.284, 0.352),
}  # fmt: skip
"""Macro F1 and mAP among encoded scans, Table 2."""
BEST: Final = ("learned + TTA", "learned", "naive + TTA", "naive")


def title(record: Record) -> str:
    """A scheme by name, and what tells it from others of that name."""
    if record.defense.name == "deformation" and record.defense.params.get("weights") == "none":
        return "deformation (untrained)"
    return record.defense.name


def titles(records: Sequence[Record]) -> list[str]:
    """Names of the columns; numbered where two would be the same."""
    names = [title(record) for record in records]
    return [
        name if names.count(name) == 1 else f"{name} {1 + names[:number].count(name)}"
        for number, name in enumerate(names)
    ]


def tables(records: Sequence[Record]) -> list[Table]:
    """Verdicts, utility, identity, images; those without rows are left out."""
    return [table for table in (verdicts(records), dice(records), identity(records), images(records)) if table.rows]


def verdicts(records: Sequence[Record]) -> Table:
    """What each audit concluded."""
    table = Table("Verdicts: each audit's, over all of its attacks.", ["Defense", "Verdict", "Why"])
    for name, record in zip(titles(records), records, strict=True):
        missing = f"; not finished: {len(record.missing)}" if record.missing else ""
        table.rows.append([name, str(record.verdict), record.reason + missing])
    return table


def dice(records: Sequence[Record]) -> Table:
    """Table 1: Dice through each scheme."""
    structures = list(dict.fromkeys(u.structure for r in records for u in r.utility if u.metric == "dice"))
    table = Table(
        "Utility: Dice of the victims' scans, with intervals clustered by person. 'Paper' rows are Table 1 of"
        " Mixup-Privacy on its own data, for orientation.",
        ["Defense", *structures, "People"],
    )
    for name, record in zip(titles(records), records, strict=True):
        found: dict[str, dict[str, Utility]] = {}
        for item in record.utility:
            if item.metric == "dice" and (item.method != "no encoding" or record.defense.name == "none"):
                found.setdefault(item.method, {})[item.structure] = item
        if not found and structures:
            table.rows.append([name, *("–" for _ in structures), record.utility_note or "not measured"])
        for method, items in found.items():
            mixing = record.defense.name == "mixup"
            cells = [interval(u.estimate, u.ci) if (u := items.get(s)) else "–" for s in structures]
            people = str(next(iter(items.values())).n_subjects)
            table.rows.append([f"{name}, {method}" if mixing else name, *cells, people])
            paper = PAPER_RIVALS.get(record.defense.name) or PAPER_DICE.get(method)
            if paper:
                own = f"{name}, {method}" if mixing else name
                table.rows.append([f"— paper, {own}", *(number(paper.get(s)) for s in structures), "–"])
    return table


def identity(records: Sequence[Record]) -> Table:
    """Table 2: who is found again, by every attack on identity."""
    table = Table(
        "Identity: is the best match, among encoded scans or in a gallery of raw ones, the same person? 'Paper' rows"
        " are Table 2 of Mixup-Privacy (encoded scans among each other, MS-SSIM) on its own data.",
        ["Defense", "Attack", "rank-1", "macro F1", "mAP", "by chance", "control", "Verdict", "People"],
    )
    for name, record in zip(titles(records), records, strict=True):
        for deciding in [f for f in record.findings if f.victim == "identity" and f.metric == "map"]:
            same = {f.metric: f for f in record.findings if _key(f) == _key(deciding)}
            cells = [interval(f.estimate, f.ci) if (f := same.get(m)) else "–" for m in ("rank1", "f1", "map")]
            control = "–" if deciding.control is None else "found" if deciding.control.passed else "MISSED"
            table.rows.append(
                [name, attack_name(deciding), *cells, number(deciding.chance), control, str(deciding.verdict or "–"),
                 str(deciding.n_subjects)]
            )  # fmt: skip
            if (deciding.attack, deciding.protocol) == ("reid", "encoded") and record.defense.name in PAPER_REID:
                f1, mean = PAPER_REID[record.defense.name]
                table.rows.append(
                    [f"— paper, {name}", attack_name(deciding), "–", number(f1), number(mean), "–", "–", "–", "–"]
                )
    return table


def images(records: Sequence[Record]) -> Table:
    """How near each attack comes to the image."""
    table = Table(
        f"Image: {metric('ms_ssim')} of what an attack recovers to the target, and its difference to the best attacker"
        " who does not look.",
        ["Defense", "Attack", "MS-SSIM", "best without looking", "Difference", "Verdict", "People"],
    )
    for name, record in zip(titles(records), records, strict=True):
        for f in record.findings:
            if (f.victim, f.metric) == ("target", "ms_ssim") and f.role != "baseline":
                base = f.baseline
                table.rows.append(
                    [name, attack_name(f), interval(f.estimate, f.ci),
                     "–" if base is None else f"{base.name} {number(base.estimate)}",
                     "–" if base is None else interval(base.difference, base.ci, signed=True),
                     str(f.verdict or "–"), str(f.n_subjects)]
                )  # fmt: skip
    return table


def best_dice(record: Record) -> Utility | None:
    """Mean Dice of what a user of the scheme would get."""
    found = {u.method: u for u in record.utility if u.metric == "dice" and u.structure == "mean"}
    order = ("no encoding",) if record.defense.name == "none" else BEST
    return next((found[method] for method in order if method in found), None)


def strongest_identity(record: Record) -> Finding | None:
    """The attack that finds most people again, by mAP."""
    found = [f for f in record.primary() if f.victim == "identity" and f.metric == "map" and f.estimate is not None]
    return max(found, key=lambda f: f.estimate or 0.0, default=None)


def _key(finding: Finding) -> tuple[str, str, str]:
    return finding.attack, finding.protocol, finding.victim
