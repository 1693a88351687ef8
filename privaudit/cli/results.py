"""``privaudit report``, ``check``, ``baseline``, ``compare`` and ``schema``: they read records, and compute nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Run = Annotated[Path | None, typer.Argument(help="Run folder or record.json. [default: the latest run]")]
OneRun = Annotated[Path, typer.Argument(help="Run folder or record.json.")]


def report(
    run: Run = None,
    format_: Annotated[
        list[str] | None, typer.Option("--format", help="May be repeated ('privaudit reports list').")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="File, or - for standard output; one format only.")] = None,
    with_images: Annotated[
        bool, typer.Option("--with-images", help="Show voxels even of a cohort that is not shareable.")
    ] = False,
    cache: Annotated[Path | None, typer.Option("--cache", help="Folder for generated data.")] = None,
) -> None:
    """Write the card of a run: HTML, Markdown and JSON unless --format says otherwise.

    A record alone is enough: its cards lie beside it, without pictures.
    """
    from privaudit.auditing.folders import is_run
    from privaudit.auditing.opening import RUNS
    from privaudit.cards.writing import latest_run, render, report_input, write_cards
    from privaudit.errors import OptionError
    from privaudit.files import check_place, refuse_same, write_text
    from privaudit.results.record_files import read

    folder = latest_run(RUNS) if run is None else run
    record = read(folder)
    formats = list(dict.fromkeys(format_ or ["html", "markdown", "json"]))
    if out is not None and len(formats) != 1:
        raise OptionError("--out is one file, and needs exactly one --format", got=", ".join(formats))
    if out is None:
        place = folder if folder.is_dir() else folder.parent
        if not is_run(place):
            _refuse_others_cards(place, formats)
        for path in write_cards(place, formats, with_images, cache, quiet=False, record=record):
            typer.echo(f"card: {path}")
        if record.dataset.shareable and not (place / "spec.yaml").is_file():
            typer.echo("no pictures: they need the run's folder with spec.yaml, and its data", err=True)
        return
    base = folder if folder.is_dir() else folder.parent
    if str(out) != "-":
        refuse_same(out, folder, base / "record.json", base / "spec.yaml")
        check_place(out.parent)
    text, _ = render(report_input(base, record, with_images, cache), formats[0])
    if str(out) == "-":
        typer.echo(text, nl=False)
    else:
        write_text(out, text)
        typer.echo(f"card: {out}")


def _refuse_others_cards(place: Path, formats: list[str]) -> None:
    """A folder that is no run's may hold somebody else's card."""
    from privaudit.contracts import plugin
    from privaudit.contracts.report import Report
    from privaudit.errors import OptionError

    for name in formats:
        path = place / f"card{plugin.load('reports', name, Report).suffix}"
        if path.exists():
            raise OptionError(f"{path} is already there", todo="say where to write: one --format and --out FILE")


def schema() -> None:
    """Print the JSON Schema of record.json."""
    import json

    from privaudit.results.record_files import json_schema

    typer.echo(json.dumps(json_schema(), indent=1))


def check(
    run: OneRun,
    baseline: Annotated[Path, typer.Option("--baseline", help="File made by 'privaudit baseline'.")],
    junit: Annotated[Path | None, typer.Option("--junit", help="Write JUnit XML here.")] = None,
    sarif: Annotated[Path | None, typer.Option("--sarif", help="Write SARIF 2.1.0 here.")] = None,
    tolerance: Annotated[float, typer.Option("--tolerance", help="Least growth that counts.")] = 0.02,
    known_leaks: Annotated[
        bool, typer.Option("--allow-known-leaks/--no-known-leaks", help="Accept leaks that the baseline accepts.")
    ] = True,
) -> None:
    """Compare a run with a committed baseline: exit 0 fine, 1 leakage grew, 2 bad input, 3 inconclusive."""
    from privaudit.files import check_place, refuse_same, write_text
    from privaudit.results.baseline import read_baseline
    from privaudit.results.gate import check as gate_check
    from privaudit.results.record_files import read

    for path in (junit, sarif):
        if path is not None:
            refuse_same(path, baseline, run, run / "record.json")
            check_place(path.parent)
    result = gate_check(read(run), read_baseline(baseline), tolerance=tolerance, allow_known_leaks=known_leaks)
    if junit is not None:
        write_text(junit, result.junit())
    if sarif is not None:
        write_text(sarif, result.sarif())
    typer.echo(result.text(), nl=False)
    raise typer.Exit(result.exit_code)


def baseline(
    run: Run = None,
    accept_inconclusive: Annotated[
        bool,
        typer.Option("--accept-inconclusive", help="Let INCONCLUSIVE figures pass 'check' until they move."),
    ] = False,
) -> None:
    """Print the baseline of a run, the file to commit.

    Figures that 'check' would not pass, on this very run, are named on standard error.
    """
    from privaudit.auditing.opening import RUNS
    from privaudit.cards.writing import latest_run
    from privaudit.results.baseline import dump_baseline, make_baseline
    from privaudit.results.gate import EXIT_CODES
    from privaudit.results.gate import check as gate_check
    from privaudit.results.record_files import read

    record = read(latest_run(RUNS) if run is None else run)
    made = make_baseline(record, accept_inconclusive)
    failing = [item for item in gate_check(record, made).items if EXIT_CODES[item.status]]
    for item in failing:
        typer.echo(f"privaudit: beware: 'check' will not pass {item.name}: {item.message}", err=True)
    if failing and not accept_inconclusive:
        typer.echo(
            "privaudit: such a figure never passes: audit more people, or add --accept-inconclusive, and it passes"
            " until it moves",
            err=True,
        )
    typer.echo(dump_baseline(made), nl=False)


def compare(
    a: Annotated[Path, typer.Argument(help="Run folder or record.json.")],
    b: Annotated[Path, typer.Argument(help="Run folder or record.json.")],
) -> None:
    """Say for each figure whether B leaks less (better), more (worse), or no differently; exit 2 if not comparable."""
    from privaudit.errors import RecordError
    from privaudit.results.compare import comparable, compare_text
    from privaudit.results.compare import compare as compare_records
    from privaudit.results.record_files import read

    first, second = read(a), read(b)
    reasons = comparable(first, second)
    if reasons:
        raise RecordError("the two runs cannot be compared: " + "; ".join(reasons), todo="audit both alike")
    typer.echo(compare_text(compare_records(first, second)), nl=False)
