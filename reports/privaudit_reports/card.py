"""What a card says, in plain words, from the record alone; HTML and Markdown only lay it out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from privaudit.knowledge import RUNG_TEXT, Rung
from privaudit.record import Finding, Interval, Record, Verdict

METRICS = {
    "ms_ssim": "MS-SSIM",
    "psnr": "PSNR (dB)",
    "ms_ssim_brain": "MS-SSIM, brain",
    "psnr_brain": "PSNR, brain (dB)",
    "map": "mAP",
    "map5": "mAP at 5",
    "rank1": "rank-1",
    "rank5": "rank-5",
    "f1": "macro F1",
    "tpr_at_fpr01": "TPR at 1 % FPR",
}
GLOSSARY = {
    "MS-SSIM": "multi-scale structural similarity (Wang et al. 2003), 0 to 1; 1 is an exact copy",
    "PSNR": "peak signal-to-noise ratio in dB for intensities in [0, 1]; 100 stands for an exact copy",
    "brain": "only what lies inside the brain counts",
    "mAP": "mean average precision of the ranking of the gallery; 1 if every scan finds its person first",
    "rank-1": "share of scans whose best match is the right person",
    "macro F1": "mean over people of the F1 of naming them by the best match",
    "TPR at 1 % FPR": "share of same-person pairs above the similarity that 1 % of other pairs reach",
    "difference": "attack minus the best attacker who does not look at the transcript (or chance), paired by scan",
    "interval": "95 % unless said otherwise; bootstrap that draws whole people, widened for few people",
    "control": "the same attack on a planted leak; an attack that misses it cannot say 'no leak'",
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


@dataclass(frozen=True)
class RungCase:
    """The worst that happens to one kind of victim with one set of knowledge."""

    knowledge: str
    finding: Finding
    sentence: str


def number(value: float | None, signed: bool = False) -> str:
    """Three decimals, or a dash."""
    if value is None:
        return "–"
    return f"{value:+.3f}" if signed else f"{value:.3f}"


def interval(value: float | None, ci: Interval | None, signed: bool = False) -> str:
    """``0.812 [0.790, 0.833]``."""
    text = number(value, signed)
    return text if ci is None or value is None else f"{text} [{number(ci[0], signed)}, {number(ci[1], signed)}]"


def metric(name: str) -> str:
    """A metric's printed name."""
    return METRICS.get(name, name)


def attack_name(finding: Finding) -> str:
    """Attack and protocol; a protocol called 'default' goes without saying."""
    return finding.attack if finding.protocol == "default" else f"{finding.attack}, {finding.protocol}"


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
    """The leakiest primary finding of each set of knowledge and kind of victim, least knowledge first."""
    groups: dict[tuple[tuple[str, ...], str], list[Finding]] = {}
    for finding in record.primary():
        groups.setdefault((tuple(finding.knowledge), finding.victim), []).append(finding)
    cases = []
    for (knowledge, _), findings in sorted(groups.items(), key=lambda item: (len(item[0][0]), item[0])):
        worst = max(findings, key=severity)
        cases.append(RungCase(knowledge_text(knowledge), worst, sentence(worst, record)))
    return cases


def sentence(finding: Finding, record: Record) -> str:
    """One finding in plain words."""
    baseline = finding.baseline
    if finding.estimate is None or baseline is None or baseline.estimate is None:
        return "No figure exists."
    if finding.victim != "identity":
        whose = "the person scanned" if finding.victim == "target" else "the owner of the mixing reference"
        return (
            f"The recovered image of {whose} has {metric(finding.metric)} {number(finding.estimate)} to the true one; "
            f"who does not look at the encoding gets {number(baseline.estimate)} ({baseline.name})."
        )
    first = next(
        (f for f in record.findings if (f.attack, f.protocol, f.metric) == (finding.attack, finding.protocol, "rank1")),
        None,
    )
    text = f"{metric(finding.metric)} {number(finding.estimate)}, by chance {number(baseline.estimate)}."
    if first is not None and first.estimate is not None and first.chance is not None:
        text = (
            f"The best match is the right person for {first.estimate:.0%} of scans of {first.n_subjects} people "
            f"(by chance {first.chance:.0%}); {text}"
        )
    return text


def control_text(finding: Finding) -> str:
    """Whether the planted leak was found."""
    if finding.control is None:
        return "–" if finding.role != "primary" else "not run"
    found = "found" if finding.control.passed else "MISSED"
    return f"{found} ({number(finding.control.estimate)})"


def row(finding: Finding) -> dict[str, str]:
    """One line of a table."""
    base = finding.baseline
    as_is = next((c for c in finding.comparisons if c.name == "as-is"), None)
    return {
        "attack": attack_name(finding),
        "victim": finding.victim,
        "metric": metric(finding.metric),
        "estimate": interval(finding.estimate, finding.ci),
        "baseline": "–" if base is None else f"{base.name} {number(base.estimate)}",
        "difference": "–" if base is None else interval(base.difference, base.ci, signed=True),
        "as_is": "–" if as_is is None else interval(as_is.difference, as_is.ci, signed=True),
        "control": control_text(finding),
        "people": f"{finding.n_subjects} / {finding.n_scans}",
        "verdict": str(finding.verdict or ""),
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
    if not any(finding.victim == "identity" for finding in record.primary()):
        out.append("re-identification")
    if not any(finding.victim == "target" for finding in record.primary()):
        out.append("reconstruction of the image")
    out.append("training-time transcripts, and attacks not listed here")
    return out


def paper_rows(record: Record) -> list[tuple[str, str, str]]:
    """What the Mixup-Privacy paper reports for the same defense."""
    return [paper for paper in PAPER_ROWS if paper[0] == record.defense.name]
