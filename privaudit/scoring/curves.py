"""Lines of plots that several protocols of one attack draw: quality against views, evaluations, repetitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from privaudit.results.record import Curve, Finding
from privaudit.scoring.scorecard import Scored

REQUESTS: Final = "requests that the server has"


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
    """Give each primary finding the lines that its attack's protocols draw."""
    protocols = {(s.attack.name, s.protocol.name): s.protocol for s in scored}
    out = []
    for finding in findings:
        protocol = protocols.get((finding.attack, finding.protocol))
        if finding.role != "primary" or protocol is None:
            out.append(finding)
            continue
        kin = [
            (protocols[f.attack, f.protocol], f)
            for f in findings
            if (f.attack, f.victim, f.metric) == (finding.attack, finding.victim, finding.metric)
        ]
        own = [(p.curve_x, f) for p, f in kin if p.curve is not None and p.curve == protocol.curve]
        some = [(float(p.requests), f) for p, f in kin if p.requests is not None and p.views == protocol.views]
        some += [(float(finding.n_scans), finding)] if some else []
        lines = [_line(protocol.curve or "", own, finding), _line(REQUESTS, some, finding)]
        curves = [line for line in lines if line is not None]
        notes = [*finding.notes, spread_of(curves[0].y)] if curves and protocol.repeated else finding.notes
        out.append(finding.model_copy(update={"curves": [*finding.curves, *curves], "notes": notes}))
    return out


def _line(name: str, points: Sequence[tuple[float, Finding]], finding: Finding) -> Curve | None:
    """A line of a finding's plot; None of fewer than two points."""
    line = sorted(((x, f) for x, f in points if f.estimate is not None and f.ci is not None), key=lambda item: item[0])
    if len(line) < 2:
        return None
    best = finding.baseline.estimate if finding.baseline else None
    return Curve(
        name=name,
        x_label=name,
        y_label=finding.metric,
        x=[x for x, _ in line],
        y=[f.estimate or 0.0 for _, f in line],
        low=[f.ci[0] for _, f in line if f.ci],
        high=[f.ci[1] for _, f in line if f.ci],
        chance=None if best is None else [best] * len(line),
    )
