"""``privaudit sweep``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from privaudit.cli.audit import build_spec
from privaudit.cli.options import Attacks, Budget, Chosen, Controls, KeySecret, Running, Spec, grouped
from privaudit.cli.progress import progress_bars
from privaudit.errors import OptionError, short

Grid = Annotated[
    list[str] | None,
    typer.Option("--grid", help="Option of the defense and its values, NAME='[…]'; may be repeated. YAML."),
]
BackendOption = Annotated[
    Literal["sequential", "loky", "dask"], typer.Option("--backend", help="Where the audits run (joblib's backends).")
]
DEFAULT_GRID: dict[str, list[Any]] = {"alpha": [[0.0, 0.5], [0.0, 1.0], [0.5, 1.0]], "views": [1, 5, 10]}


@grouped
def sweep(
    context: typer.Context,
    chosen: Chosen,
    running: Running,
    spec: Spec = None,
    grid: Grid = None,
    attack: Attacks = None,
    controls: Controls = None,
    budget: Budget = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder. [default: privaudit-sweeps/<name>]")] = None,
    backend: BackendOption = "sequential",
    jobs: Annotated[int, typer.Option("--jobs", min=1, help="Processes, or workers of a local Dask cluster.")] = 1,
    scheduler: Annotated[str | None, typer.Option("--scheduler", help="Address of a running Dask scheduler.")] = None,
    key_secret: KeySecret = None,
) -> None:
    """Audit a defense over a grid of its options: the frontier between utility and the strongest attack.

    By default: three ranges of α by three numbers of views of mixup. The same command after a kill continues.
    """
    from rich.table import Table

    from privaudit.auditing.opening import Settings
    from privaudit.auditing.spec import read_spec
    from privaudit.auditing.sweep import SWEEPS, best_dice, grid_points, run_sweep, summarise, write_sweep
    from privaudit.cli.building import unknown_first
    from privaudit.cli.summary import terminal
    from privaudit.results.words import interval
    from privaudit.scoring.kinds import kinds_in

    path, extra = unknown_first(spec, context.args)
    start = read_spec(path) if path else None
    base = build_spec(extra, start, chosen, attack, None, str(path or ""), controls, budget)
    wanted = read_grid(grid) if grid else DEFAULT_GRID
    folder = out or SWEEPS / f"{base.dataset.label}-{base.defense.label}-{base.digest}"
    points = grid_points(base, wanted, folder)
    check(points)
    settings = Settings(cache=running.cache, device=running.device, quiet=True, key_secret=key_secret)
    with progress_bars(running.quiet) as progress:
        records = run_sweep(points, settings, backend, jobs, scheduler, progress("sweep", len(points)))
    kinds = kinds_in(*records)
    rows = [summarise(point, record, kinds) for point, record in zip(points, records, strict=True)]
    first = records[0].dataset
    title = f"{base.defense.name} on {first.name}" + (f" ({first.simulated})" if first.simulated else "")
    files = write_sweep(folder, points, rows, kinds, title)
    if not running.quiet:
        table = Table(*wanted, *(kind.words.strongest for kind in kinds), "mean Dice", "verdict")
        for point, row in zip(points, rows, strict=True):
            table.add_row(
                *(str(row[name]) for name in point.options),
                *(
                    interval(row.get(k), None if row.get(f"{k}_low") is None else (row[f"{k}_low"], row[f"{k}_high"]))
                    for k in (*(kind.words.noun for kind in kinds), best_dice(row) or "")
                ),
                row["verdict"],
            )
        terminal().print(table)
    for file in files:
        typer.echo(f"{title}: {file}")


def read_grid(items: list[str]) -> dict[str, list[Any]]:
    """Read ``views='[1, 5]'`` items.

    Raises:
        OptionError: an item is not of that form.
    """
    from privaudit.yaml_reading import load_value

    grid: dict[str, list[Any]] = {}
    for item in items:
        name, equals, text = item.partition("=")
        try:
            values = load_value(text, "--grid")
        except OptionError:
            values = None
        if not equals or not isinstance(values, list) or not values:
            raise OptionError("--grid cannot be read", got=repr(short(item)), todo="write --grid views='[1, 5, 10]'")
        grid[name.replace("-", "_")] = values
    return grid


def check(points: Any) -> None:
    """Build every point's defense, so that a bad option shows before the first audit runs."""
    from privaudit.contracts import plugin
    from privaudit.contracts.defense import Defense

    for point in points:
        plugin.create("defenses", point.spec.defense.name, Defense, point.spec.defense.values)
