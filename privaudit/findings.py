"""From scored rows to findings: estimates, intervals, comparisons, controls and verdicts. Pure: reads rows only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from privaudit import identity_scores, image_scores
from privaudit.attack import Attack, Protocol
from privaudit.identity_scores import QueryRanks
from privaudit.record import Comparison, Control, Curve, Finding, Interval, Verdict, finite
from privaudit.scene import PLANTED_TEXT, Arm, seed_from
from privaudit.spec import ScoringSpec
from privaudit.stats import cluster_interval
from privaudit.store import Row
from privaudit.verdicts import decide, leaks

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Scored:
    """The finished jobs of one attack under one protocol: rows per arm, and seconds over all arms."""

    attack: Attack
    protocol: Protocol
    rows: Mapping[Arm, Sequence[Row]]
    seconds: float
    unhealthy: tuple[str, ...] = ()
    """Why the attack's silence would say nothing."""

    @property
    def table(self) -> str:
        """Where the per-scan table of the audit arm lies, relative to the run."""
        return f"tables/{self.attack.name}.{self.protocol.name}.csv"


@dataclass(frozen=True)
class Scorecard:
    """Settings shared by all findings of an audit."""

    scoring: ScoringSpec
    seed: int
    people: int
    """Victims, for the gallery-size curve."""

    def interval(self, values: Floats, people: Sequence[str], exact: bool, *key: str) -> Interval | None:
        """Clustered interval with its own random stream, so that no finding depends on another's presence."""
        return cluster_interval(
            values,
            people,
            np.random.default_rng(seed_from(self.seed, "bootstrap", *key)),
            confidence=self.scoring.confidence,
            resamples=self.scoring.resamples,
            exact=exact,
        )


def _column(rows: Sequence[Row], name: str) -> Floats:
    return np.array([row[name] for row in rows], dtype=np.float64)


def _people(rows: Sequence[Row]) -> list[str]:
    return [row["person"] for row in rows]


# reconstructions ---------------------------------------------------------------------------------------------------


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
    people = _people(rows)
    values = _column(rows, column)
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
            exposed, must_fit=not attack.trivial,
        )  # fmt: skip
        if verdict is Verdict.NO_LEAK_DETECTED and scored.unhealthy:
            verdict, reason = Verdict.INCONCLUSIVE, f"the attack is not sound: {'; '.join(scored.unhealthy)}"
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
        by_alpha=_by_alpha(rows, values),
        notes=_notes(rows),
        table=scored.table,
        seconds=round(scored.seconds, 3),
    )


def _by_alpha(rows: Sequence[Row], values: Floats) -> dict[str, float]:
    """Mean by fifths of the mixing weight."""
    fifths = np.array([row.get("alpha_fifth", 0) for row in rows])
    return {
        f"{(f - 1) / 5:.1f}-{f / 5:.1f}": round(float(values[fifths == f].mean()), 6)
        for f in range(1, 6)
        if (fifths == f).any()
    }


def _notes(rows: Sequence[Row]) -> list[str]:
    """How many patches were scored where not all were attacked, and whether the scorer chose the order of sources."""
    out = []
    if rows and rows[0].get("partial"):
        out.append(f"{sum(len(row['patches']) for row in rows)} patches of {len(rows)} scans were attacked")
    if rows and "order" in rows[0]:
        swapped = sum(row["order"] == "swapped" for row in rows)
        out.append(f"which source is the target was resolved by the scorer, swapped in {swapped} of {len(rows)} scans")
    return out


def _compare(
    rows: Sequence[Row], others: Sequence[Row], column: str, card: Scorecard, key: tuple[str, ...], other: Attack
) -> Comparison:
    """Paired by request: the other attacker's rows cover at least these requests."""
    against = _theirs(rows, others, column)
    difference = _column(rows, column) - against
    return Comparison(
        name=other.name,
        estimate=finite(float(against.mean())),
        difference=finite(float(difference.mean())),
        ci=card.interval(difference, _people(rows), False, *key, "difference"),
        reads_transcript=other.reads_transcript,
    )


def _exposed(
    rows: Sequence[Row], trivial: Sequence[Scored], column: str, baseline: Comparison | None, margin: float
) -> int:
    """People with a scan that beats the baseline's score of the same scan by more than the margin."""
    if baseline is None:
        return 0
    source = next(t for t in trivial if t.attack.name == baseline.name)
    lead = _column(rows, column) - _theirs(rows, source.rows["audit"], column)
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
        estimate=finite(float(_column(rows, column).mean())),
        difference=best.difference,
        ci=best.ci,
        passed=leaks(best.difference, best.ci, margin),
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
            finding = finding.model_copy(update={"curves": [curve]})
        out.append(finding)
    return out


# identity ----------------------------------------------------------------------------------------------------------


def _ranks(rows: Sequence[Row]) -> list[QueryRanks]:
    return [QueryRanks(query=i, **{k: v for k, v in row.items() if k != "request"}) for i, row in enumerate(rows)]


def _metric_values(ranks: Sequence[QueryRanks], metric: str) -> tuple[Floats, list[str]]:
    """One value per query, or per person for macro F1, with the person each belongs to."""
    if metric == "f1":
        by_person = identity_scores.f1_by_person(ranks)
        return np.array(list(by_person.values())), list(by_person)
    attribute = {"map": "average_precision", "map5": "average_precision5"}.get(metric, metric)
    return np.array([getattr(rank, attribute) for rank in ranks], dtype=np.float64), [rank.person for rank in ranks]


def identity_findings(scored: Scored, card: Scorecard) -> list[Finding]:
    """Findings of one re-identification attack: every metric against chance."""
    ranks = _ranks(scored.rows["audit"])
    if not ranks:
        return []
    chance = identity_scores.chance_levels(ranks)
    return [_identity_finding(scored, ranks, chance[metric], metric, card) for metric in identity_scores.METRICS]


def _above_chance(
    ranks: Sequence[QueryRanks], metric: str, chance: float, card: Scorecard, *key: str
) -> tuple[float, Interval | None, Comparison]:
    values, people = _metric_values(ranks, metric)
    ci = card.interval(values, people, True, *key, metric)
    estimate = float(values.mean())
    shifted = None if ci is None else (ci[0] - chance, ci[1] - chance)
    return (
        estimate,
        ci,
        Comparison(name="chance", estimate=chance, difference=estimate - chance, ci=shifted, reads_transcript=False),
    )


def _identity_finding(
    scored: Scored, ranks: Sequence[QueryRanks], chance: float, metric: str, card: Scorecard
) -> Finding:
    attack, protocol = scored.attack, scored.protocol
    key = (attack.name, protocol.name)
    estimate, ci, against = _above_chance(ranks, metric, chance, card, *key)
    deciding = metric == identity_scores.PRIMARY_METRIC and protocol.primary
    margin, n = card.scoring.margin_identity, len({rank.person for rank in ranks})
    control, verdict, reason, curves = None, None, "supports the primary figure", []
    if deciding:
        planted = _ranks(scored.rows.get("planted", ()))
        if planted:
            level = identity_scores.chance_levels(planted)[metric]
            found, _, lead = _above_chance(planted, metric, level, card, *key, "planted")
            control = Control(
                description=PLANTED_TEXT["planted"],
                estimate=found,
                difference=lead.difference,
                ci=lead.ci,
                passed=leaks(lead.difference, lead.ci, margin),
            )
        verdict, reason = decide(
            against.difference, against.ci, margin, control, n, card.scoring.min_subjects, "chance"
        )
        curves = [_gallery_curve(ranks, card, key)]
    return Finding(
        attack=attack.name,
        protocol=protocol.name,
        victim="identity",
        metric=metric,
        role="primary" if deciding else "secondary",
        higher_is_leakier=True,
        estimate=finite(estimate),
        ci=ci,
        confidence=card.scoring.confidence,
        baseline=against,
        comparisons=[against],
        chance=chance,
        margin=margin,
        control=control,
        n_subjects=n,
        n_scans=len(ranks),
        verdict=verdict,
        reason=reason,
        knowledge=sorted(protocol.knowledge),
        params=attack.params,
        curves=curves,
        table=scored.table,
        seconds=round(scored.seconds, 3),
    )


def _gallery_curve(ranks: Sequence[QueryRanks], card: Scorecard, key: tuple[str, str]) -> Curve:
    sizes, table = identity_scores.gallery_curve(ranks, card.people)
    people = [rank.person for rank in ranks]
    spans = [card.interval(table[:, i], people, True, *key, "gallery", str(g)) for i, g in enumerate(sizes)]
    means = table.mean(axis=0).tolist()
    return Curve(
        name="gallery size",
        x_label="people in the gallery",
        y_label="rank1",
        x=[float(g) for g in sizes],
        y=means,
        low=[m if s is None else s[0] for m, s in zip(means, spans, strict=True)],
        high=[m if s is None else s[1] for m, s in zip(means, spans, strict=True)],
        chance=[1 / g for g in sizes],
    )
