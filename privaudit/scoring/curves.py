"""Lines of plots that several protocols of one attack draw: quality against views, evaluations, repetitions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from privaudit.results.record import Curve, Finding
from privaudit.scoring.scorecard import Scored


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
