"""Options that several commands share: each is written once, and a command takes them in groups."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

Spec = Annotated[str | None, typer.Argument(metavar="[SPEC.yaml]", help="Audit specification ('privaudit init').")]
Attacks = Annotated[
    list[str] | None,
    typer.Option("--attack", help="May be repeated; 'standard' is the standard battery. [default: standard]"),
]
Budget = Annotated[
    Literal["quick", "full", "thorough"] | None,
    typer.Option("--budget", help="How much of the standard battery. [default: quick]"),
]


@dataclass(frozen=True)
class Chosen:
    """Which data, which scheme, which random choices."""

    dataset: Annotated[str | None, typer.Option("--dataset", help="Which data. [default: phantom]")] = None
    defense: Annotated[str | None, typer.Option("--defense", help="Which scheme. [default: mixup]")] = None
    seed: Annotated[int | None, typer.Option("--seed", help="Seed of every random choice. [default: 0]")] = None


@dataclass(frozen=True)
class Running:
    """Where and how to compute."""

    cache: Annotated[
        Path | None, typer.Option("--cache", help="Folder for generated data. [default: the user's cache]")
    ] = None
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda or mps.")] = "auto"
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars, and only the verdict line.")] = False

    def __post_init__(self) -> None:
        """Raises :class:`~privaudit.errors.WriteError` where data cannot be kept, before work starts."""
        from privaudit.files import check_place

        if self.cache is not None:
            check_place(self.cache)


@dataclass(frozen=True)
class Run:
    """What becomes of an audit."""

    out: Annotated[Path | None, typer.Option("--out", help="Run folder. [default: privaudit-runs/<name>]")] = None
    jobs: Annotated[int, typer.Option("--jobs", help="Processes.")] = 1
    msssim: Annotated[
        Literal["fast", "reference"] | None, typer.Option("--msssim", help="'reference': pytorch-msssim.")
    ] = None
    controls: Annotated[
        Literal["auto", "single", "graded"] | None,
        typer.Option(
            "--controls",
            help="graded: plant smaller leaks too, for detection limits; auto: for attacks that are cheap."
            " [default: auto]",
        ),
    ] = None
    explain: Annotated[bool, typer.Option("--explain", help="Say why each part was computed, resumed or reused.")] = (
        False
    )
    traffic: Annotated[
        Path | None,
        typer.Option("--traffic", help="Attack captured traffic: an HTTP archive (.har) or KServe's log (.jsonl)."),
    ] = None
    with_images: Annotated[
        bool, typer.Option("--with-images", help="Show voxels on the card of a cohort not shareable.")
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
