"""``privaudit audit`` and ``privaudit attack``."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from privaudit.errors import OptionError

if TYPE_CHECKING:
    from pydantic import BaseModel

    from privaudit.auditing.run import Progress, Result
    from privaudit.auditing.spec import AuditSpec

EPILOG = (
    "Every option of the dataset, the defense and the attacks is an option here: --voxel-mm 2, --patch-size 32; "
    "'privaudit defenses show mixup' lists them. Where two plugins share a name, write --mixup.views 10. "
    "Sections of the specification are reached the same way: --split.victims 0.4, --scoring.margin-image 0.01."
)

Spec = Annotated[str | None, typer.Argument(metavar="[SPEC.yaml]", help="Audit specification ('privaudit init').")]
DatasetOption = Annotated[str | None, typer.Option("--dataset", help="Which data. [default: phantom]")]
DefenseOption = Annotated[str | None, typer.Option("--defense", help="Which scheme. [default: mixup]")]
AttackOption = Annotated[list[str] | None, typer.Option("--attack", help="May be repeated. [default: reid, average]")]
Seed = Annotated[int | None, typer.Option("--seed", help="Seed of every random choice. [default: 0]")]
Out = Annotated[Path | None, typer.Option("--out", help="Run folder. [default: privaudit-runs/<name>]")]
Cache = Annotated[Path | None, typer.Option("--cache", help="Folder for generated data. [default: the user's cache]")]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")]
Jobs = Annotated[int, typer.Option("--jobs", help="Processes.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bars, and only the verdict line.")]
Explain = Annotated[bool, typer.Option("--explain", help="Say why each part was computed, resumed or reused.")]
MsSsim = Annotated[Literal["fast", "reference"] | None, typer.Option("--msssim", help="'reference': pytorch-msssim.")]
WithImages = Annotated[bool, typer.Option("--with-images", help="Show voxels on the card of a cohort not shareable.")]


def audit(
    context: typer.Context,
    spec: Spec = None,
    dataset: DatasetOption = None,
    defense: DefenseOption = None,
    attack: AttackOption = None,
    seed: Seed = None,
    out: Out = None,
    cache: Cache = None,
    device: Device = "auto",
    jobs: Jobs = 1,
    msssim: MsSsim = None,
    quiet: Quiet = False,
    explain: Explain = False,
    with_images: WithImages = False,
) -> None:
    """Audit a defense: run every attack, score it, and write record and card.

    Without a specification and options: Mixup-Privacy on the embedded phantom cohort. The same command after a kill
    continues where it stopped.
    """
    from privaudit.auditing.panel import read_specs
    from privaudit.cli.building import unknown_first

    path, extra = unknown_first(spec, context.args)
    bases = [None] if path is None else read_specs(path)
    if len(bases) > 1 and defense is not None:
        raise OptionError("--defense cannot replace a list of defenses", got=defense, todo="edit the specification")
    built = [build_spec(extra, base, dataset, defense, attack, seed, msssim, str(path or "")) for base in bases]
    if len(built) == 1:
        _run(built[0], out, cache, device, jobs, quiet, explain, with_images)
    else:
        _run_panel(built, out, cache, device, jobs, quiet, with_images)


def attack(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Which attack ('privaudit attacks list').")],
    dataset: DatasetOption = None,
    defense: DefenseOption = None,
    seed: Seed = None,
    out: Out = None,
    cache: Cache = None,
    device: Device = "auto",
    jobs: Jobs = 1,
    msssim: MsSsim = None,
    quiet: Quiet = False,
    explain: Explain = False,
    with_images: WithImages = False,
) -> None:
    """Run one attack (with its trivial baselines and controls) against a defense."""
    if name.startswith("--"):
        raise OptionError("the attack's name comes first", got=name, todo="write: privaudit attack NAME --option value")
    built = build_spec(context.args, None, dataset, defense, [name], seed, msssim)
    _run(built, out, cache, device, jobs, quiet, explain, with_images)


OWN = ("dataset", "defense", "attack", "seed", "out", "cache", "device", "jobs", "msssim", "quiet", "explain")


def build_spec(
    extra: list[str],
    base: AuditSpec | None,
    dataset: str | None,
    defense: str | None,
    attacks: list[str] | None,
    seed: int | None,
    msssim: str | None,
    source: str = "",
) -> AuditSpec:
    """Merge a specification, read from ``source``, and options: options win."""
    from privaudit.auditing.spec import AuditSpec, UtilitySpec, parse_spec
    from privaudit.cli.building import choose_plugins, fill
    from privaudit.cli.routing import read_pairs, route
    from privaudit.contracts import plugin
    from privaudit.contracts.attack import Attack
    from privaudit.scoring.settings import ScoringSpec
    from privaudit.specs import SplitSpec

    data: dict[str, Any] = (AuditSpec() if base is None else base).model_dump()
    if attacks:
        given = {item["name"]: item for item in data["attacks"]}
        data["attacks"] = [given.get(name, {"name": name}) for name in dict.fromkeys(attacks)]
    sections = choose_plugins(data, dataset=dataset, defense=defense)
    for item in data["attacks"]:
        sections[item["name"]] = (item, plugin.load("attacks", item["name"], Attack).Options)
    owners = {name: list(options.model_fields) for name, (_, options) in sections.items()}
    plain: dict[str, type[BaseModel]] = {"split": SplitSpec, "scoring": ScoringSpec, "utility": UtilitySpec}
    owners |= {section: list(model.model_fields) for section, model in plain.items()}
    routed = route(read_pairs(extra), owners, OWN)
    for section in plain:
        data[section] |= {key: _number(value) for key, value in routed.pop(section).items()}
    fill(sections, routed)
    if seed is not None:
        data["seed"] = seed
    if msssim is not None:
        data["scoring"]["msssim"] = msssim
    return parse_spec(data, source or "command line")


def _number(text: str) -> Any:
    import yaml

    return yaml.safe_load(text)


@contextmanager
def progress_bars(quiet: bool, speed: bool = False) -> Iterator[Progress]:
    """Progress on stderr, one bar per job, with steps per second if asked; nothing when quiet or not a terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        Task,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class _Speed(TextColumn):
        def __init__(self) -> None:
            super().__init__("{task.speed} it/s")

        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else f"{task.speed:.2f} it/s")

    bars = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *([_Speed()] if speed else []),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=quiet or not sys.stderr.isatty(),
    )
    with bars:

        def progress(name: str, total: int) -> Any:
            task = bars.add_task(name, total=total)
            return lambda amount: bars.advance(task, amount)

        yield progress


def _run(
    spec: AuditSpec,
    out: Path | None,
    cache: Path | None,
    device: str,
    jobs: int,
    quiet: bool,
    explain: bool,
    with_images: bool,
) -> None:
    from privaudit.auditing.run import Settings, run_audit
    from privaudit.cards.writing import write_cards
    from privaudit.cli.summary import print_summary

    settings = Settings(out=out, cache=cache, device=device, jobs=jobs, quiet=quiet)
    with progress_bars(quiet) as progress:
        result: Result = run_audit(spec, settings, progress)
    cards = write_cards(result.run, formats=("html", "markdown"), with_images=with_images, cache=cache)
    if explain:
        for name, note in result.notes.items():
            typer.echo(f"{name}: {note}")
    print_summary(result.record, cards, quiet)
    if result.record.missing:
        raise typer.Exit(3)


def _run_panel(
    specs: list[AuditSpec], out: Path | None, cache: Path | None, device: str, jobs: int, quiet: bool, with_images: bool
) -> None:
    from privaudit.auditing.panel import panel_folder, run_panel, write_panel
    from privaudit.auditing.run import Settings
    from privaudit.cards.writing import write_cards
    from privaudit.cli.summary import print_summary

    folder = panel_folder(specs, out)
    settings = Settings(cache=cache, device=device, jobs=jobs, quiet=quiet)
    with progress_bars(quiet) as progress:
        done = run_panel(specs, settings, folder, progress)
    for run, record in done:
        print_summary(record, write_cards(run, ("html", "markdown"), with_images=with_images, cache=cache), quiet)
    for path in write_panel(folder, [record for _, record in done], ("html", "markdown")):
        typer.echo(f"panel: {path}")
    if any(record.missing for _, record in done):
        raise typer.Exit(3)
