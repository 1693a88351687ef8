"""Findings of reconstructions: estimates, intervals, comparisons, controls and verdicts. Pure: reads rows only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from privaudit import image_scores
from privaudit.attack import Attack
from privaudit.record import Comparison, Control, Curve, Finding, Verdict, finite
from privaudit.scene import PLANTED_TEXT, Arm
from privaudit.scorecard import Floats, Scorecard, Scored, by_alpha, column_of, people_of
from privaudit.store import Row
from privaudit.verdicts import decide, leaks


def image_findings(scored: Scored, trivial: Sequence[Scored], card: Scorecard) -> list[Finding]:
    """Findings of one reconstruction attack: every metric, for the target and for the reference's owner."""
    rows = scored.rows["audit"]
    out = []
    victims: list[Literal["target", "reference"]] = ["target"]
    if rows and f"reference_{image_scores.PRIMARY_METRIC}" in rows[0]:
        victims.append("reference")
    for victim in victims:
        for metric in image_scores.METRICS:
            out.append(_image_finding(scored, trivial, card, victim, metric))
    return out


def _image_finding(
    scored: Scored,
    trivial: Sequence[Scored],
    card: Scorecard,
    victim: Literal["target", "reference"],
    metric: image_scores.Metric,
) -> Finding:
    attack, protocol = scored.attack, scored.protocol
    column = metric if victim == "target" else f"reference_{metric}"
    rows = scored.rows["audit"]
    people = people_of(rows)
    values = column_of(rows, column)
    key = (attack.name, protocol.name, column)
    comparisons = [
        _compare(rows, other.rows["audit"], column, card, (*key, other.attack.name), other.attack)
        for other in trivial
        if other.attack.name != attack.name
    ]
    blind = [c for c in comparisons if not c.reads_transcript]
    # Without both attackers who do not look, the threshold would be too low, and a leak might be none.
    complete = {c.name for c in blind} >= {"atlas", "random-subject"} - {attack.name}
    baseline = max(blind, key=lambda c: c.estimate or 0.0, default=None) if complete else None
    is_baseline = attack.trivial and not attack.reads_transcript
    deciding = metric == image_scores.PRIMARY_METRIC and protocol.primary and not is_baseline
    margin = card.scoring.margin_image
    control, verdict, reason = None, None, "supports the primary figure"
    if is_baseline:
        reason = "a trivial attacker, who does not look at the transcript"
    elif deciding:
        arm: Arm = "planted" if victim == "target" else "planted-reference"
        control = _image_control(scored, trivial, card, column, arm, margin)
        n = len(set(people))
        exposed = _exposed(rows, trivial, column, baseline, margin)
        verdict, reason = decide(
            baseline.difference if baseline else None,
            baseline.ci if baseline else None,
            margin, control, n, card.scoring.min_subjects, baseline.name if baseline else "no baseline",
            exposed,
            misfit=not attack.trivial and _below(baseline, margin),
            unsound=scored.unhealthy,
        )  # fmt: skip
    return Finding(
        attack=attack.name,
        protocol=protocol.name,
        victim=victim,
        metric=metric,
        role="baseline" if is_baseline else "primary" if deciding else "secondary",
        higher_is_leakier=True,
        estimate=finite(float(values.mean())),
        ci=card.interval(values, people, False, *key),
        confidence=card.scoring.confidence,
        baseline=baseline,
        comparisons=comparisons,
        margin=margin,
        control=control,
        n_subjects=len(set(people)),
        n_scans=len(rows),
        verdict=verdict,
        reason=reason,
        knowledge=sorted(protocol.knowledge),
        params=attack.params,
        details={
            "sd": finite(float(values.std(ddof=1))) if len(values) > 1 else None,
            "median": finite(float(np.median(values))),
            "worst_decile": finite(float(np.quantile(values, 0.9))),
        },
        by_alpha=by_alpha(rows, values),
        notes=_notes(rows),
        table=scored.table,
        seconds=round(scored.seconds, 3),
    )


def _below(baseline: Comparison | None, margin: float) -> bool:
    """Whether an attack does demonstrably worse than its baseline."""
    return baseline is not None and baseline.ci is not None and baseline.ci[1] < -margin


def doubt_misfits(findings: Sequence[Finding]) -> list[Finding]:
    """Let nobody's picture rest on attacks that all do worse than not looking.

    A trivial attacker may (others are there to do better), but alone it says nothing: a warped image taken as it is,
    say, is less like the image than the atlas is, and a warp is no protection.
    """
    fit = {f.victim for f in findings if _decides_picture(f) and not _below(f.baseline, f.margin)}
    reason = "every attack here does worse than not looking: none fits this scheme"
    doubted = {"verdict": Verdict.INCONCLUSIVE, "reason": reason}
    return [
        f.model_copy(update=doubted)
        if _decides_picture(f) and f.victim not in fit and f.verdict is Verdict.NO_LEAK_DETECTED
        else f
        for f in findings
    ]


def _decides_picture(finding: Finding) -> bool:
    return finding.role == "primary" and finding.metric == image_scores.PRIMARY_METRIC


def _notes(rows: Sequence[Row]) -> list[str]:
    """How many patches were scored where not all were attacked, and whether the scorer chose the order of sources."""
    out = []
    if rows and rows[0].get("partial"):
        out.append(f"{sum(len(row['patches']) for row in rows)} patches of {len(rows)} scans were attacked")
    if rows and "best_of" in rows[0]:
        out.append(f"an upper bound: the best of {rows[0]['best_of']} pictures, chosen with the truth")
    if rows and "order" in rows[0]:
        swapped = sum(row["order"] == "swapped" for row in rows)
        out.append(f"which source is the target was resolved by the scorer, swapped in {swapped} of {len(rows)} scans")
    return out


def _compare(
    rows: Sequence[Row], others: Sequence[Row], column: str, card: Scorecard, key: tuple[str, ...], other: Attack
) -> Comparison:
    """Paired by request: the other attacker's rows cover at least these requests."""
    against = _theirs(rows, others, column)
    difference = column_of(rows, column) - against
    return Comparison(
        name=other.name,
        estimate=finite(float(against.mean())),
        difference=finite(float(difference.mean())),
        ci=card.interval(difference, people_of(rows), False, *key, "difference"),
        reads_transcript=other.reads_transcript,
    )


def _exposed(
    rows: Sequence[Row], trivial: Sequence[Scored], column: str, baseline: Comparison | None, margin: float
) -> int:
    """People with a scan that beats the baseline's score of the same scan by more than the margin."""
    if baseline is None:
        return 0
    source = next(t for t in trivial if t.attack.name == baseline.name)
    lead = column_of(rows, column) - _theirs(rows, source.rows["audit"], column)
    return len({row["person"] for row, ahead in zip(rows, lead.tolist(), strict=True) if ahead > margin})


def _theirs(rows: Sequence[Row], others: Sequence[Row], column: str) -> Floats:
    """Another attacker's figures for the same requests, on the same patches where only some were attacked."""
    by_request = {row["request"]: row for row in others}
    prefix = "reference_" if column.startswith("reference_") else ""
    out = []
    for row in rows:
        other = by_request[row["request"]]
        if row.get("partial"):
            patches = {name: other[f"{prefix}patches"][name] for name in row[f"{prefix}patches"]}
            values: Mapping[str, float] = {str(name): value for name, value in image_scores.pool(patches).items()}
            out.append(values[column.removeprefix(prefix)])
        else:
            out.append(float(other[column]))
    return np.array(out, dtype=np.float64)


def _image_control(
    scored: Scored, trivial: Sequence[Scored], card: Scorecard, column: str, arm: Arm, margin: float
) -> Control | None:
    """The same attack on the planted leak, against attackers who do not look and so need no planting."""
    rows = scored.rows.get(arm)
    if not rows:
        return None
    key = (scored.attack.name, scored.protocol.name, column, arm)
    blind = [
        _compare(rows, t.rows["audit"], column, card, (*key, t.attack.name), t.attack)
        for t in trivial
        if not t.attack.reads_transcript
    ]
    best = max(blind, key=lambda c: c.estimate or 0.0, default=None)
    if best is None:
        return None
    return Control(
        description=PLANTED_TEXT[arm],
        estimate=finite(float(column_of(rows, column).mean())),
        difference=best.difference,
        ci=best.ci,
        passed=leaks(best.difference, best.ci, margin),
    )


def spread_of(figures: Sequence[float]) -> str:
    """Mean, standard deviation and range of repetitions, in words.

    >>> spread_of([0.4, 0.5, 0.6])
    'over 3 repetitions: mean 0.500, standard deviation 0.100, from 0.400 to 0.600; the first decides'
    """
    mean, sd = np.mean(figures), np.std(figures, ddof=1)
    return (
        f"over {len(figures)} repetitions: mean {mean:.3f}, standard deviation {sd:.3f},"
        f" from {min(figures):.3f} to {max(figures):.3f}; the first decides"
    )


def add_curves(findings: Sequence[Finding], scored: Sequence[Scored]) -> list[Finding]:
    """Give each primary finding the line that its attack's protocols draw."""
    points = {(s.attack.name, s.protocol.name): s.protocol for s in scored if s.protocol.curve}
    out = []
    for finding in findings:
        protocol = points.get((finding.attack, finding.protocol))
        if finding.role != "primary" or protocol is None or protocol.curve is None:
            out.append(finding)
            continue
        line = [
            (points[f.attack, f.protocol].curve_x, f)
            for f in findings
            if (f.attack, f.victim, f.metric) == (finding.attack, finding.victim, finding.metric)
            and points[f.attack, f.protocol].curve == protocol.curve
            and f.estimate is not None and f.ci is not None
        ]  # fmt: skip
        line.sort(key=lambda item: item[0])
        if len(line) > 1:
            best = finding.baseline.estimate if finding.baseline else None
            curve = Curve(
                name=protocol.curve,
                x_label=protocol.curve,
                y_label=finding.metric,
                x=[x for x, _ in line],
                y=[f.estimate or 0.0 for _, f in line],
                low=[f.ci[0] for _, f in line if f.ci],
                high=[f.ci[1] for _, f in line if f.ci],
                chance=None if best is None else [best] * len(line),
            )
            notes = [*finding.notes, spread_of(curve.y)] if protocol.repeated else finding.notes
            finding = finding.model_copy(update={"curves": [curve], "notes": notes})
        out.append(finding)
    return out
