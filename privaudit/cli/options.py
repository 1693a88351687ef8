"""Options that several commands share: each is written once, and a command takes them in groups."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_type_hints

import typer

from privaudit.cli.completing import names_of

FAULT: Final = 4
"""Exit code of a command that looked for faults and found some; 1 is the gate's alone."""

Spec = Annotated[str | None, typer.Argument(metavar="[SPEC.yaml]", help="Audit specification ('privaudit init').")]
Attacks = Annotated[
    list[str] | None,
    typer.Option(
        "--attack",
        help="May be repeated; 'standard' is the standard battery. [default: standard]",
        autocompletion=names_of("attacks"),
    ),
]
Budget = Annotated[
    Literal["quick", "full", "thorough"] | None,
    typer.Option("--budget", help="How much of the standard battery. [default: quick]"),
]
Controls = Annotated[
    Literal["auto", "single", "graded"] | None,
    typer.Option(
        "--controls",
        help="graded: plant smaller leaks too, for detection limits; auto: for attacks that are cheap. [default: auto]",
    ),
]


@dataclass(frozen=True)
class Chosen:
    """Which data, which scheme, which random choices."""

    dataset: Annotated[
        str | None,
        typer.Option("--dataset", help="Which data. [default: phantom]", autocompletion=names_of("datasets")),
    ] = None
    defense: Annotated[
        str | None,
        typer.Option("--defense", help="Which scheme. [default: mixup]", autocompletion=names_of("defenses")),
    ] = None
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of every random choice. [default: 0]")] = None


@dataclass(frozen=True)
class Running:
    """Where and how to compute."""

    cache: Annotated[
        Path | None, typer.Option("--cache", help="Folder for generated data. [default: the user's cache]")
    ] = None
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto"
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress, and only the verdict line.")] = False

    def __post_init__(self) -> None:
        """Raises :class:`~privaudit.errors.WriteError` where data cannot be kept, before work starts."""
        from privaudit.files import check_place

        if self.cache is not None:
            check_place(self.cache)


KeySecret = Annotated[
    Path | None,
    typer.Option(
        "--key-secret",
        help="Private file on which keys of the scans under attack depend, made if it is missing: no plugin can work"
        " them out from the seed. [default: keys follow from the seed]",
    ),
]


@dataclass(frozen=True)
class Run:
    """What becomes of an audit."""

    out: Annotated[Path | None, typer.Option("--out", help="Run folder. [default: privaudit-runs/<name>]")] = None
    jobs: Annotated[int, typer.Option("--jobs", help="Processes.")] = 1
    msssim: Annotated[
        Literal["fast", "reference"] | None, typer.Option("--msssim", help="'reference': pytorch-msssim.")
    ] = None
    controls: Controls = None
    explain: Annotated[bool, typer.Option("--explain", help="Say why each part was computed, resumed or reused.")] = (
        False
    )
    pseudonym_key: Annotated[
        Path | None,
        typer.Option(
            "--pseudonym-key",
            help="Private file from which pseudonyms follow, made if it is missing: runs that share it name people"
            " alike. [default: one of the run's own]",
        ),
    ] = None
    key_secret: KeySecret = None
    traffic: Annotated[
        Path | None,
        typer.Option("--traffic", help="Attack captured traffic: an HTTP archive (.har) or KServe's log (.jsonl)."),
    ] = None
    with_images: Annotated[
        bool, typer.Option("--with-images", help="Show voxels on the card even of a cohort that is not shareable.")
    ] = False


def grouped(function: Callable[..., None]) -> Callable[..., None]:
    """Let a command take groups of options: each field of a parameter that is a dataclass becomes an option.

    typer reads a command's options from its signature, so the command gets one in which groups are spelled out.
    """
    plain: list[inspect.Parameter] = []
    groups: dict[str, Any] = {}
    for parameter in inspect.signature(function, eval_str=True).parameters.values():
        if not is_dataclass(parameter.annotation):
            plain.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        groups[parameter.name] = group = parameter.annotation
        hints = get_type_hints(group, include_extras=True)
        plain += [
            inspect.Parameter(f.name, inspect.Parameter.KEYWORD_ONLY, default=f.default, annotation=hints[f.name])
            for f in fields(group)
        ]

    @wraps(function)
    def command(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{f.name: values.pop(f.name) for f in fields(group)})
        function(**values)

    command.__signature__ = inspect.Signature(plain)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in plain}
    return command
