"""Many audits over a grid of a defense's options: the frontier between utility and the strongest attack."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import joblib
import torch

from privaudit.auditing.folders import holds_runs
from privaudit.auditing.key_secret import open_secret
from privaudit.auditing.opening import Settings
from privaudit.auditing.run import run_audit
from privaudit.auditing.spec import AuditSpec, parse_spec
from privaudit.errors import OptionError, PrivauditError
from privaudit.files import atomic_path, check_own, claim, write_text
from privaudit.results.record import Record
from privaudit.results.record_files import read
from privaudit.scoring.kind import ClaimKind

Backend = Literal["sequential", "loky", "dask"]
SWEEPS = Path("privaudit-sweeps")


@dataclass(frozen=True)
class Point:
    """One setting: the options that differ, its specification, and where its run lives."""

    options: dict[str, Any]
    spec: AuditSpec
    run: Path

    @property
    def label(self) -> str:
        """The options as text."""
        return ", ".join(f"{name} {_plain(value)}" for name, value in self.options.items())


def _plain(value: Any) -> str:
    if isinstance(value, list | tuple):
        return "–".join(_plain(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def grid_points(base: AuditSpec, grid: Mapping[str, Sequence[Any]], out: Path) -> list[Point]:
    """Every combination of the defense's options in ``grid``, in order.

    Raises:
        OptionError: the grid is empty or one of its options has no values.
    """
    if not grid or not all(grid.values()):
        raise OptionError("a sweep needs a grid", got=dict(grid), todo="give --grid views='[1, 5, 10]'")
    points = []
    for values in itertools.product(*grid.values()):
        options = dict(zip(grid, values, strict=True))
        data = base.model_dump(mode="json")
        data["defense"] |= options
        spec = parse_spec(data, "sweep")
        points.append(Point(options, spec, out / f"{spec.defense.label}-{spec.digest}"))
    return points


def run_sweep(
    points: Sequence[Point], settings: Settings, backend: Backend = "sequential", jobs: int = 1,
    scheduler: str | None = None, advance: Callable[[float], None] = lambda n: None,
) -> list[Record]:  # fmt: skip
    """Run every point, or what a kill left, and return the records in order; the backend changes no figure.

    Args:
        points: what to run.
        settings: how; ``out`` and ``jobs`` are set for each point.
        backend: 'sequential', 'loky' (processes here) or 'dask' (joblib's backends).
        jobs: processes, or workers of a local Dask cluster.
        scheduler: address of a running Dask scheduler, whose workers see the same files; None starts a local cluster.
        advance: called with 1 for each point done.

    Raises:
        PrivauditError: a point failed, the folder is somebody else's, or Dask is not installed.
    """
    for folder in {point.run.parent for point in points}:
        check_own(folder, "sweep", holds_runs)
        claim(folder, "sweep")
    open_secret(settings.key_secret)  # made once, before processes that would each make one
    threads = torch.get_num_threads() if backend == "sequential" else max(1, torch.get_num_threads() // max(1, jobs))
    calls = (joblib.delayed(_run_point)(point, replace(settings, out=point.run, jobs=1), threads) for point in points)
    with (
        _cluster(jobs, scheduler) if backend == "dask" else nullcontext(),
        joblib.parallel_config(backend=backend, n_jobs=1 if backend == "sequential" else jobs),
    ):
        for error in joblib.Parallel(return_as="generator")(calls):
            if error:
                raise PrivauditError(error)
            advance(1)
    return [read(point.run) for point in points]


def _run_point(point: Point, settings: Settings, threads: int) -> str:
    """Run one audit; an error travels as text, since not every exception can be pickled."""
    torch.set_num_threads(threads)
    try:
        run_audit(point.spec, settings)
    except PrivauditError as error:
        return f"{point.label}: {error}"
    return ""


def local_cluster(workers: int) -> AbstractContextManager[Any]:
    """A Dask cluster of processes on this machine."""
    from distributed import LocalCluster

    cluster: AbstractContextManager[Any] = LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=workers, threads_per_worker=1, dashboard_address=None
    )
    return cluster


@contextmanager
def _cluster(workers: int, scheduler: str | None) -> Iterator[None]:
    try:
        from distributed import Client
    except ImportError:
        raise PrivauditError("Dask is not installed", todo="run: pip install 'privaudit[dask]'") from None
    cluster = nullcontext(scheduler) if scheduler else local_cluster(workers)
    with cluster as address, Client(address):  # type: ignore[no-untyped-call]
        yield


def summarise(point: Point, record: Record, kinds: Sequence[ClaimKind]) -> dict[str, Any]:
    """One row of the sweep: options, verdict, strongest attack of each kind, mean Dice of each method."""
    row: dict[str, Any] = {**{k: _plain(v) for k, v in point.options.items()}, "verdict": str(record.verdict)}
    for kind in kinds:
        name, wanted = kind.words.noun, (kind.victims[0], kind.primary)
        found = [f for f in record.shown() if (f.victim, f.metric) == wanted and f.estimate is not None]
        worst = max(found, key=lambda f: f.estimate or 0.0) if found else None
        row[f"{name}_attack"] = f"{worst.attack} {worst.protocol}" if worst else None
        row[name] = worst.estimate if worst else None
        row[f"{name}_low"], row[f"{name}_high"] = worst.ci if worst and worst.ci else (None, None)
    for item in record.utility:
        if item.metric == "dice" and item.structure == "mean":
            key = f"dice {item.method}"
            row[key] = item.estimate
            row[f"{key}_low"], row[f"{key}_high"] = item.ci if item.ci else (None, None)
    return row


def best_dice(row: Mapping[str, Any]) -> str | None:
    """Key of the mean Dice that a user would get: learned before naive, with test-time augmentation before without."""
    order = ("learned + TTA", "learned", "naive + TTA", "naive", "no encoding")
    return next((f"dice {method}" for method in order if row.get(f"dice {method}") is not None), None)


def _bars(row: Mapping[str, Any], key: str) -> list[list[float]] | None:
    """Distances from an estimate to the ends of its interval, as matplotlib wants them."""
    value, low, high = row[key], row[f"{key}_low"], row[f"{key}_high"]
    return None if low is None else [[value - low], [high - value]]


def write_sweep(
    out: Path, points: Sequence[Point], rows: Sequence[Mapping[str, Any]], kinds: Sequence[ClaimKind], title: str
) -> list[Path]:
    """Write ``sweep.json``, ``sweep.csv`` and ``frontier.png``."""
    data = [{"run": point.run.name, **row} for point, row in zip(points, rows, strict=True)]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(key for row in data for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(data)
    write_text(out / "sweep.csv", text.getvalue())
    write_text(out / "sweep.json", json.dumps(data, indent=1, ensure_ascii=False) + "\n")
    with atomic_path(out / "frontier.png") as temporary:
        temporary.write_bytes(frontier(points, rows, kinds, title))
    return [out / "sweep.csv", out / "frontier.png"]


def frontier(
    points: Sequence[Point], rows: Sequence[Mapping[str, Any]], kinds: Sequence[ClaimKind], title: str
) -> bytes:
    """Mean Dice of the best method against the strongest attack of each kind, one point per setting, as PNG.

    Better is up and to the left.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6 * len(kinds), 5), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=10)
    axes = figure.subplots(1, len(kinds), sharey=True, squeeze=False)[0]
    for axis, kind in zip(axes, kinds, strict=True):
        name = kind.words.noun
        for number, (point, row) in enumerate(zip(points, rows, strict=True)):
            dice = best_dice(row)
            if dice is None or row.get(name) is None:
                continue
            (x, across), (y, up) = ((row[key], _bars(row, key)) for key in (name, dice))
            colour, marker = f"C{number % 10}", "osD^v"[number // 10 % 5]
            axis.errorbar([x], [y], xerr=across, yerr=up, fmt=marker, color=colour, label=point.label, elinewidth=0.8)
        plain = [row["dice no encoding"] for row in rows if row.get("dice no encoding") is not None]
        if plain:
            axis.axhline(math.fsum(plain) / len(plain), color="#444444", linestyle="--", linewidth=1)
        axis.set_xlabel(f"strongest attack, {kind.metrics[kind.primary]}")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("mean Dice (dashed: no encoding)")
    if axes[-1].get_legend_handles_labels()[0]:  # none where utility was not measured
        axes[-1].legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
