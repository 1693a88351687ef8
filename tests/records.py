"""Made-up records, for everything that only reads records."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from privaudit.msssim import DenseSimilarity
from privaudit.results.overall import Verdict, overall
from privaudit.results.record import (
    Comparison,
    Control,
    Curve,
    DatasetInfo,
    DefenseInfo,
    Finding,
    Missing,
    Record,
    Utility,
)
from privaudit.scoring.similarity.ranks import rank_queries


def finding(
    attack: str = "average",
    estimate: float | None = 0.75,
    half: float = 0.01,
    verdict: Verdict | None = Verdict.NO_LEAK_DETECTED,
    **more: Any,
) -> Finding:
    """One finding: MS-SSIM .75 ± .01 against an atlas at .74, control found."""
    ci = None if estimate is None else (estimate - half, estimate + half)
    gap = None if estimate is None else estimate - 0.74
    base = Comparison(
        name="atlas", estimate=0.74, difference=gap, ci=None if gap is None else (gap - half, gap + half),
        reads_transcript=False,
    )  # fmt: skip
    values: dict[str, Any] = {
        "attack": attack,
        "protocol": "K=10",
        "victim": "target",
        "metric": "ms_ssim",
        "role": "primary",
        "higher_is_leakier": True,
        "estimate": estimate,
        "ci": ci,
        "baseline": base,
        "comparisons": [base],
        "margin": 0.02,
        "control": Control(description="planted", estimate=0.99, difference=0.25, ci=(0.24, 0.26), passed=True),
        "n_subjects": 24,
        "n_scans": 48,
        "verdict": verdict,
        "reason": "made up",
        "knowledge": ["atlas", "transcript", "views"],
        "params": {"alpha": "estimated"},
        "seconds": 1.5,
    }
    return Finding(**{**values, **more})


def record(*findings: Finding, **more: Any) -> Record:
    """A record of these findings; its verdict follows from them."""
    missing: list[Missing] = more.pop("missing", [])
    verdict, reason = overall(list(findings), missing)
    dataset = DatasetInfo(
        name="phantom", fingerprint="f" * 64, subjects=48, scans=96, shape=(72, 96, 80), voxel_mm=2.0,
        simulated="virtual subjects", shareable=True, split={"victims": 24, "pool": 12, "population": 12},
        params={"subjects": 48},
    )  # fmt: skip
    values: dict[str, Any] = {
        "dataset": dataset,
        "defense": DefenseInfo(name="mixup", params={"views": 10}),
        "seed": 0,
        "findings": list(findings),
        "missing": missing,
        "verdict": verdict,
        "reason": reason,
        "settings": {"scoring": {"confidence": 0.95}, "ms_ssim": "patch32"},
        "provenance": {"version": "0.1.0", "commit": None, "command": "privaudit audit"},
    }
    return Record(**{**values, **more})


def full() -> Record:
    """A record with every kind of content."""
    line = Curve(
        name="gallery size", x_label="people in the gallery", y_label="rank1", x=[2, 5, 24], y=[0.9, 0.7, 0.5],
        low=[0.8, 0.6, 0.3], high=[1.0, 0.8, 0.7], chance=[0.5, 0.2, 1 / 24],
    )  # fmt: skip
    chance = Comparison(name="chance", estimate=0.1, difference=0.4, ci=(0.2, 0.6), reads_transcript=False)
    reid: dict[str, Any] = {
        "protocol": "encoded", "victim": "identity", "knowledge": ["transcript"], "baseline": chance,
        "comparisons": [chance], "chance": 0.1,
    }  # fmt: skip
    return record(
        finding("average", 0.93, verdict=Verdict.LEAK),
        finding("reid", 0.5, 0.2, Verdict.LEAK, metric="map", curves=[line], **reid),
        finding("reid", 0.5, 0.2, None, metric="rank1", role="secondary", **reid),
        finding("bss", None, verdict=Verdict.INCONCLUSIVE, control=None, baseline=None, comparisons=[]),
        finding("atlas", 0.74, verdict=None, role="baseline", control=None, protocol="default"),
        missing=[Missing(attack="slow", protocol="default", error="RuntimeError: <b>out of luck</b>")],
        utility=[
            Utility(method="naive", structure="mean", metric="dice", estimate=0.7, ci=(0.6, 0.8), n_subjects=24),
            Utility(method="learned", structure="mean", metric="dice", estimate=0.85, ci=None, n_subjects=24),
        ],
    )


def ranked(similarity: np.ndarray[Any, np.dtype[np.float64]]) -> list[dict[str, Any]]:
    """Rows of one query for each person in a gallery of raw scans."""
    people = [f"P{n:03d}" for n in range(len(similarity))]
    found = rank_queries(DenseSimilarity(similarity), people, people, np.random.default_rng(0))
    return [
        {"request": f"r{n:04d}", **{k: v for k, v in asdict(row).items() if k != "query"}}
        for n, row in enumerate(found)
    ]
