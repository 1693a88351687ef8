"""Plots as inline SVG: deterministic, no global state, no fonts but the reader's own."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from privaudit.results.overall import Verdict
from privaudit.results.record import Curve, Finding, Record
from privaudit.results.words import attack_name
from privaudit.scoring.kind import ClaimKind
from privaudit.scoring.kinds import kind_with, kinds_in, metric_name, whose

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = {Verdict.LEAK: "#b3261e", Verdict.NO_LEAK_DETECTED: "#1b6e3c", Verdict.INCONCLUSIVE: "#8a5a00"}
LABEL = 28
"""Characters of an axis label that fit on one line of a small plot."""
MARKERS = {"atlas": "s", "random-subject": "^", "as-is": "D", "chance": "x"}


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasSVG(figure)
    return figure


def _svg(figure: Figure, title: str) -> str:
    import matplotlib as mpl

    buffer = io.StringIO()
    style: dict[Any, Any] = {
        "svg.hashsalt": "privaudit",
        "svg.fonttype": "none",
        "font.size": 9,
        "font.family": "sans-serif",
    }
    with mpl.rc_context(style):
        metadata = {"Date": None, "Creator": None, "Title": title}
        figure.savefig(buffer, format="svg", metadata=metadata, transparent=True)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def _clean(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)


def forest(findings: Sequence[Finding], title: str) -> str:
    """Every deciding figure with its interval, beside every trivial attacker."""
    shown = [f for f in findings if f.estimate is not None]
    if not shown:
        return ""
    figure = _figure(7.6, 0.7 + 0.42 * len(shown))
    axes = figure.add_subplot()
    _clean(axes)
    seen: set[str] = set()
    for y, finding in enumerate(reversed(shown)):
        colour = COLOURS.get(finding.verdict, "#444444") if finding.verdict else "#444444"
        value = finding.estimate or 0.0
        low, high = finding.ci or (value, value)
        axes.plot([low, high], [y, y], color=colour, linewidth=2.4, solid_capstyle="butt")
        axes.plot([value], [y], "o", color=colour, markersize=6)
        for other in finding.comparisons:
            if other.estimate is not None:
                label = other.name if other.name not in seen else None
                seen.add(other.name)
                style: dict[str, Any] = {"marker": MARKERS.get(other.name, "v"), "color": "#777777", "markersize": 5}
                axes.plot([other.estimate], [y], linestyle="none", label=label, **style)
    labels = [attack_name(f) + whose(f) for f in reversed(shown)]
    axes.set_yticks(range(len(shown)), labels)
    axes.set_ylim(-0.6, len(shown) - 0.4)
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]), right=max(1.0, axes.get_xlim()[1]))
    axes.set_xlabel(metric_name(shown[0].metric))
    if seen:
        axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _svg(figure, title)


def curve(line: Curve, finding: Finding) -> str:
    """One curve with its band, and chance or the baseline as a dashed line."""
    figure = _figure(3.3, 2.3)
    axes = figure.add_subplot()
    _clean(axes)
    colour = COLOURS[finding.verdict] if finding.verdict else "#444444"
    if line.low is not None and line.high is not None:
        axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.18, linewidth=0)
    axes.plot(line.x, line.y, "o-", color=colour, markersize=3.5, linewidth=1.6)
    if line.chance is not None:
        name = finding.baseline.name if finding.baseline else "chance"
        axes.plot(line.x, line.chance, "--", color="#777777", linewidth=1.2, label=name)
        axes.legend(frameon=False, fontsize=8)
    if max(line.x) > 20 * max(min(line.x), 1):
        axes.set_xscale("log")
        axes.set_xticks(line.x, [f"{x:g}" for x in line.x])
        axes.minorticks_off()
    axes.set_xlabel("views K" if line.name == "views" else textwrap.fill(line.x_label, LABEL))
    axes.set_ylabel(metric_name(line.y_label))
    kind = kind_with(finding.metric)
    if kind is not None and kind.needs_sessions:  # of identity: whole range, chance is far below
        axes.set_ylim(-0.03, 1.03)
    return _svg(figure, f"{attack_name(finding)}: {line.name}")


def strongest(record: Record, kind: ClaimKind, several_views: bool) -> Finding | None:
    """The strongest attack of a kind by an attacker who gets one view, or all that are sent."""
    found = [
        f
        for f in record.findings
        if (f.victim, f.metric) == (kind.victims[0], kind.primary) and f.role != "baseline" and f.estimate is not None
        and (several_views or "views" not in f.knowledge)
    ]  # fmt: skip
    return max(found, key=lambda f: f.estimate or 0.0, default=None)


def frontier(record: Record) -> str:
    """Utility against the strongest reconstruction of the target, a point per method; nothing without utility.

    A method that sends one view is set against attacks on one view. Without encoding the server sees the image itself:
    MS-SSIM 1.
    """
    points = [u for u in record.utility if u.structure == "mean" and u.metric == "dice" and u.estimate is not None]
    kind = next((kind for kind in kinds_in(record) if kind.words.frontier is not None), None)
    if not points or kind is None or strongest(record, kind, several_views=False) is None:
        return ""
    figure = _figure(4.6, 3.2)
    axes = figure.add_subplot()
    _clean(axes)
    for number, point in enumerate(points):
        raw = point.method == "no encoding"
        attack = None if raw else strongest(record, kind, several_views=point.method.endswith("+ TTA"))
        x = 1.0 if attack is None else attack.estimate or 0.0
        across = (x, x) if attack is None or attack.ci is None else attack.ci
        y = point.estimate or 0.0
        colour = "#444444" if raw else f"C{number}"
        label = point.method if attack is None else f"{point.method} ({attack_name(attack)})"
        axes.plot([x, x], point.ci or (y, y), linewidth=1.2, color=colour)
        axes.plot(across, [y, y], linewidth=1.2, color=colour)
        axes.plot([x], [y], "D" if raw else "o", label=label, color=colour)
    axes.set_xlabel(kind.words.frontier or "")
    axes.set_ylabel("mean Dice")
    axes.legend(frameon=False, fontsize=7)
    return _svg(figure, "privacy against utility: better is up and to the left")


def utility_curve(record: Record) -> str:
    """Mean Dice against the number of views K, every method with test-time augmentation; nothing without it."""
    lines = [(u.method, line) for u in record.utility for line in u.curves if len(line.x) > 1]
    if not lines:
        return ""
    figure = _figure(4.2, 3.2)
    axes = figure.add_subplot()
    _clean(axes)
    for number, (method, line) in enumerate(lines):
        axes.plot(line.x, line.y, "o-", color=f"C{number}", markersize=3.5, linewidth=1.6, label=method)
        if line.low is not None and line.high is not None:
            axes.fill_between(line.x, line.low, line.high, color=f"C{number}", alpha=0.15, linewidth=0)
    for plain in record.utility:
        if plain.method == "no encoding" and plain.structure == "mean" and plain.estimate is not None:
            axes.axhline(plain.estimate, color="#444444", linestyle="--", linewidth=1.2, label="no encoding")
    axes.set_xlabel("views K")
    axes.set_ylabel("mean Dice")
    axes.legend(frameon=False, fontsize=7.5)
    return _svg(figure, "Dice against the number of views")


def panel(records: Sequence[Record], names: Sequence[str]) -> str:
    """Mean Dice through each scheme against the strongest attack on its image, and on identity; '' without utility.

    Along the axes lies what an attack gains over not looking, or over chance: schemes are scored on different things.
    """
    from privaudit_reports.panel import points

    kinds = kinds_in(*records)
    if not kinds:
        return ""
    figure = _figure(4.6 * len(kinds), 4.6)
    drawn = False
    sides = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for axes, kind in zip(sides, kinds, strict=True):
        _clean(axes)
        for number, (record, name) in enumerate(zip(records, names, strict=True)):
            for marker, point in zip("os", points(record, name, kind), strict=False):
                drawn = True
                against, colour = point.attack.baseline, f"C{number}"
                assert against is not None
                x, y = against.difference or 0.0, point.dice.estimate or 0.0
                axes.plot([x, x], point.dice.ci or (y, y), linewidth=1.2, color=colour)
                axes.plot(against.ci or (x, x), [y, y], linewidth=1.2, color=colour)
                sound = point.attack.verdict is not Verdict.INCONCLUSIVE and x >= 0
                fill = colour if sound else "none"
                label = f"{point.label} ({attack_name(point.attack)})"
                axes.plot([x], [y], marker, label=label, color=colour, markerfacecolor=fill)
        axes.axvline(0, color="#999999", linewidth=0.8)
        axes.set_xlabel(f"strongest attack on {kind.words.gain}")
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=7.5, loc="upper center", bbox_to_anchor=(0.5, -0.17))
    sides[0].set_ylabel("mean Dice")
    return _svg(figure, "privacy against utility, by defense: better is up and to the left") if drawn else ""
