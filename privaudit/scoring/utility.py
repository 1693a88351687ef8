"""Figures of utility, from rows alone: Dice with intervals, differences, agreement, curves over views."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from privaudit.results.record import Curve, Utility
from privaudit.scoring.overlap import icc
from privaudit.scoring.rows import DIGITS, Row, by_alpha
from privaudit.scoring.settings import ScoringSpec
from privaudit.scoring.stats import cluster_interval, within
from privaudit.seeds import seed_from

NONE: Final = "no encoding"
"""The method that sends raw images."""
DIFFERENCE: Final = "dice difference"
RECORDED: Final = "recorded maps"
"""What a black box's own server and client made of a scan: nothing is segmented here."""


def utility_findings(rows: Sequence[Row], views: int, scoring: ScoringSpec, seed: int) -> list[Utility]:
    """Dice with intervals clustered by subject, paired differences, ICC over two references, and curves over K.

    Args:
        rows: one for each scan: 'person', and 'scores' by method ('naive @ 10' for the mean over ten views, 'naive # 2'
            for the second alone) and structure.
        views: how many the defense sends.
        scoring: settings.
        seed: of the audit.
    """
    if not rows:
        return []
    people = [str(row["person"]) for row in rows]
    structures = list(next(iter(rows[0]["scores"].values())))
    rng = np.random.default_rng(seed_from(seed, "utility"))

    def values(name: str, structure: str) -> NDArray[np.float64]:
        wanted = structures if structure == "mean" else [structure]
        found = [[v for s in wanted if (v := row["scores"][name][s]) is not None] for row in rows]
        return np.array([np.mean(some) if some else np.nan for some in found])

    def item(method: str, structure: str, metric: str, data: NDArray[np.float64], k: int, **more: Any) -> Utility:
        there = np.isfinite(data)
        kept = [person for person, is_there in zip(people, there, strict=True) if is_there]
        ci = None
        if len(set(kept)) > 1:
            ci = cluster_interval(data[there], kept, rng, confidence=scoring.confidence, resamples=scoring.resamples)
            ci = within(ci, -1 if metric == DIFFERENCE else 0, 1)
        estimate = round(float(data[there].mean()), DIGITS) if kept else None
        return Utility(
            method=method, structure=structure, metric=metric, estimate=estimate,
            ci=None if ci is None else (round(ci[0], DIGITS), round(ci[1], DIGITS)),
            n_subjects=len(set(kept)), params={"views": k, **more.pop("params", {})}, **more,
        )  # fmt: skip

    out: list[Utility] = []
    methods: dict[str, tuple[str, int]] = {}
    for name in rows[0]["scores"]:
        base, _, count = name.partition(" @ ")
        if count and int(count) in (1, views):
            methods[base if count == "1" else f"{base} + TTA"] = (name, int(count))
    order = [
        m
        for m in (NONE, RECORDED, f"{RECORDED} + TTA", "naive", "naive + TTA", "learned", "learned + TTA")
        if m in methods
    ]
    for method in order:
        name, k = methods[method]
        for structure in (*structures, "mean"):
            curves = _curves(rows, method, name, values, item) if structure == "mean" else []
            data = values(name, structure)
            more = {"by_alpha": by_alpha(rows, data)} if structure == "mean" and np.isfinite(data).all() else {}
            out.append(item(method, structure, "dice", data, k, curves=curves, **more))
    for better, worse in (
        ("naive + TTA", "naive"), ("learned", "naive"), ("learned + TTA", "learned"), ("learned + TTA", NONE),
        (RECORDED, NONE), (f"{RECORDED} + TTA", NONE),
    ):  # fmt: skip
        if better in methods and worse in methods:
            apart = values(methods[better][0], "mean") - values(methods[worse][0], "mean")
            out.append(item(better, "mean", DIFFERENCE, apart, methods[better][1], params={"minus": worse}))
    for method in ("naive", "learned"):
        if f"{method} # 2" not in rows[0]["scores"]:
            continue
        for structure in structures:
            pair = np.stack([values(f"{method} # {n}", structure) for n in (1, 2)], axis=1)
            pair = pair[np.isfinite(pair).all(axis=1)]
            result = icc(pair, scoring.confidence)
            bounds = None if result is None else (round(result[1][0], DIGITS), round(result[1][1], DIGITS))
            value = None if result is None else round(result[0], DIGITS)
            out.append(
                Utility(
                    method=method, structure=structure, metric="icc", estimate=value, ci=bounds, n_subjects=len(pair),
                    params={"references": 2, "views": 1},
                )
            )  # fmt: skip
    return out


def _curves(rows: Sequence[Row], method: str, name: str, values: Any, item: Any) -> list[Curve]:
    """Mean Dice against the number of views, for a method with test-time augmentation."""
    if not method.endswith("+ TTA"):
        return []
    base = name.partition(" @ ")[0]
    counts = sorted(int(key.partition(" @ ")[2]) for key in rows[0]["scores"] if key.startswith(f"{base} @ "))
    points = [item(method, "mean", "dice", values(f"{base} @ {k}", "mean"), k) for k in counts]
    if any(point.estimate is None or point.ci is None for point in points):
        return []
    return [
        Curve(
            name="views", x_label="views K", y_label="mean Dice", x=[float(k) for k in counts],
            y=[point.estimate for point in points],
            low=[point.ci[0] for point in points], high=[point.ci[1] for point in points],
        )
    ]  # fmt: skip
