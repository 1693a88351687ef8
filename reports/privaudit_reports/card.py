"""What a card says, in plain words, from the record alone; HTML and Markdown only lay it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from privaudit.contracts.knowledge import RUNG_TEXT, Rung
from privaudit.results.overall import Verdict
from privaudit.results.record import Finding, Record
from privaudit.results.words import attack_name, control_word, interval, number, without_looking
from privaudit.scoring.kinds import all_kinds, kind_with, metric_name
from privaudit.scoring.verdicts import unseen_share

COMMON_TERMS = {
    "difference": "attack minus the best attacker who does not look at what is sent (or chance), paired by scan",
    "interval": "95 % unless said otherwise; bootstrap that draws whole people, widened for few people",
    "planted leak": "the same attack where a leak was planted on purpose, and what it scored there; an attack that"
    " misses it cannot say 'no leak'",
}
VERDICT_TEXT = {
    Verdict.LEAK: "At least one attack gets more from what is sent than anybody gets without looking.",
    Verdict.NO_LEAK_DETECTED: "No attack run here got more from what is sent than anybody gets without looking, and"
    " each of them finds a leak when one is planted. Attacks not run here may still succeed.",
    Verdict.INCONCLUSIVE: "This audit can neither show a leak nor rule one out.",
}
PAPER_ROWS = (
    ("none", "reid encoded, macro F1 / mAP", ".988 / .998"),
    ("mixup", "reid encoded, macro F1 / mAP", ".284 / .352"),
    ("mixup", "blind source separation, MS-SSIM", ".602 ± .104 (no baseline given)"),
)
PAPER_PEOPLE = 350


@dataclass(frozen=True)
class RungCase:
    """The worst that happens to one kind of victim with one set of knowledge."""

    knowledge: str
    finding: Finding
    sentence: str


def knowledge_text(knowledge: Sequence[str]) -> str:
    """The rungs in words."""
    known = {str(rung): RUNG_TEXT[rung] for rung in Rung}
    return "; ".join(known.get(name, name) for name in knowledge)


def severity(finding: Finding) -> tuple[int, float]:
    """Sorts the leakiest last."""
    order = {Verdict.NO_LEAK_DETECTED: 0, Verdict.INCONCLUSIVE: 1, Verdict.LEAK: 2}
    difference = finding.baseline.difference if finding.baseline else None
    return (-1 if finding.verdict is None else order[finding.verdict], difference or 0.0)


def worst_cases(record: Record) -> list[RungCase]:
    """The leakiest primary finding of each set of knowledge, victim and kind of claim, least knowledge first.

    An attack that knows more than another one and gets no more is left out.
    """
    groups: dict[tuple[tuple[str, ...], str, str], list[Finding]] = {}
    for finding in record.primary():
        groups.setdefault((tuple(finding.knowledge), finding.victim, finding.metric), []).append(finding)
    cases: list[RungCase] = []
    for (knowledge, _, _), findings in sorted(groups.items(), key=lambda item: (len(item[0][0]), item[0])):
        worst = max(findings, key=severity)
        if worst.verdict is None:  # trivial attackers alone, who found nothing: that says nothing
            continue
        if not any(_needs_less(case.finding, worst) for case in cases):
            cases.append(RungCase(knowledge_text(knowledge), worst, sentence(worst, record)))
    return cases


def _needs_less(one: Finding, other: Finding) -> bool:
    """Whether an attack knows less than another one and gets as much."""
    same = (one.victim, one.metric) == (other.victim, other.metric)
    return same and set(one.knowledge) < set(other.knowledge) and severity(one) >= severity(other)


def sentence(finding: Finding, record: Record) -> str:
    """One finding in plain words."""
    baseline = finding.baseline
    if finding.estimate is None or baseline is None or baseline.estimate is None:
        return "No figure exists."
    kind = kind_with(finding.metric)
    if kind is not None:
        return kind.sentence(finding, record)
    return f"{finding.metric} {number(finding.estimate)}; {baseline.name} {number(baseline.estimate)}."


def battery(record: Record) -> str:
    """Which standard battery was run, so that two audits can be compared."""
    found = record.settings.get("battery")
    if not found:
        return "none: attacks or settings of the user's choice"
    return f"{found}" + (" (--budget full runs more and stronger attacks)" if str(found).endswith("quick") else "")


def noticed(record: Record) -> list[str]:
    """For each kind of claim, what the audit would have noticed, and what so few people cannot show."""
    out = []
    for kind in all_kinds():
        deciding = [f for f in record.primary() if f.metric == kind.primary]
        if not deciding:
            continue
        people = min(finding.n_subjects for finding in deciding)
        unseen = (
            f"With {people} people attacked, a leak that exposes up to {unseen_share(people):.0%} of all people can go"
            " unseen (95 % confidence)"
        )
        limits = [
            (finding.control.limit, attack_name(finding))
            for finding in deciding
            if finding.verdict is not Verdict.LEAK and finding.control is not None and finding.control.limit is not None
        ]
        if limits:
            share, attack = min(limits)
            limit = f"{share:.0%} of the raw image, planted into what is sent, was found ({attack})"
        elif any(finding.verdict is Verdict.LEAK for finding in deciding):
            limit = "the smallest leak that would be noticed was not measured, as this scheme already leaks"
        else:
            limit = "no planted leak was found, so silence says nothing"
        out.append(f"{kind.words.title}: {limit}. {unseen}.")
    return out


def glossary() -> dict[str, str]:
    """Terms in words, those of every kind of claim first."""
    return {term: text for kind in all_kinds() for term, text in kind.words.glossary.items()} | COMMON_TERMS


def control_text(finding: Finding) -> str:
    """Whether the planted leak was found."""
    if finding.control is None:
        return "–" if finding.role != "primary" else "not run"
    found = control_word(finding)
    # Where the scheme leaks anyway, a small planted leak is found for that alone.
    limit = None if finding.verdict is Verdict.LEAK else finding.control.limit
    smallest = "" if limit is None else f"; from {limit:.0%} on"
    return f"{found} ({number(finding.control.estimate)}{smallest})"


def row(finding: Finding) -> dict[str, str]:
    """One line of a table."""
    baseline, difference = without_looking(finding)
    as_is = next((c for c in finding.comparisons if c.name == "as-is"), None)
    return {
        "attack": attack_name(finding),
        "victim": finding.victim,
        "metric": metric_name(finding.metric) + ("" if finding.higher_is_leakier else " (lower is leakier)"),
        "estimate": interval(finding.estimate, finding.ci),
        "baseline": baseline,
        "difference": difference,
        "as_is": "–" if as_is is None else interval(as_is.difference, as_is.ci, signed=True),
        "control": control_text(finding),
        "people": f"{finding.n_subjects} / {finding.n_scans}",
        "verdict": str(finding.verdict or "–"),
        "reason": finding.reason + spread(finding),
        "knowledge": ", ".join(finding.knowledge),
        "seconds": f"{finding.seconds:.0f}",
    }


def spread(finding: Finding) -> str:
    """Spread over scans, as a tail of the reason; the worst scans matter more than the mean scan."""
    sd, worst = finding.details.get("sd"), finding.details.get("worst_decile")
    parts = [""]
    if sd is not None and worst is not None:
        parts.append(f"over scans: standard deviation {number(sd)}, leakiest tenth above {number(worst)}")
    if len(finding.by_alpha) > 1:
        parts.append("by mixing weight " + ", ".join(f"{k}: {number(v)}" for k, v in finding.by_alpha.items()))
    return "; ".join([*parts, *finding.notes])


def flat(params: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Options as name and text."""
    return [(name, "null" if value is None else str(value)) for name, value in params.items()]


def untested(record: Record) -> list[str]:
    """What this audit says nothing about."""
    used = {rung for finding in record.findings for rung in finding.knowledge}
    out = [f"an attacker who holds {RUNG_TEXT[rung]}" for rung in Rung if str(rung) not in used]
    tried = {f.metric for f in record.primary() if not (kind := kind_with(f.metric)) or kind.unsaid in ("", f.victim)}
    out += [kind.words.untested for kind in all_kinds() if kind.primary not in tried]
    out.append("training-time transcripts, and attacks not listed here")
    return out


def paper_sizes(record: Record) -> str:
    """People and pool beside the paper's, without which two mAPs cannot be compared."""
    split = record.dataset.split
    return (
        "mAP falls with the number of people and rises with the pool of references: the paper has"
        f" {PAPER_PEOPLE} people, this audit {split.get('victims', 0)} victims and a pool of {split.get('pool', 0)}"
    )


def paper_rows(record: Record) -> list[tuple[str, str, str]]:
    """What the Mixup-Privacy paper reports for the same defense."""
    return [paper for paper in PAPER_ROWS if paper[0] == record.defense.name]
