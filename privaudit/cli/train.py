"""``privaudit train``."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from privaudit.cli.options import Chosen, Running, grouped
from privaudit.cli.progress import progress_bars
from privaudit.errors import OptionError

if TYPE_CHECKING:
    from privaudit.learning.loop import Loop, Trained
    from privaudit.learning.options import LoopOptions
    from privaudit.prior.options import PriorSpec
    from privaudit.segmentation.options import Preset, SpecT, TrainSpec

EPILOG = (
    "Every option of the dataset, the defense and the training is an option here: --steps 2000, --size small, "
    "--patch-size 32, --voxel-mm 2. Where two share a name, write --phantom.seed 1."
)

Out = Annotated[Path | None, typer.Option("--out", help="Folder. [default: privaudit-weights/<name>]")]
Config = Annotated[Path | None, typer.Option("--config", help="Training specification (YAML); options win.")]
PresetOption = Annotated[
    Literal["quick", "standard", "paper"] | None,
    typer.Option(
        "--preset",
        help="quick: minutes on two cores. standard: half an hour on a GPU. paper: size and schedule as published.",
    ),
]
PriorOption = Annotated[
    bool, typer.Option("--prior", help="A score prior of raw patches instead, from the attacker's population sample.")
]
Folds = Annotated[int, typer.Option("--folds", min=1, help="Cross-validate by subject with so many folds.")]
JobsOption = Annotated[int, typer.Option("--jobs", help="Processes for generating data.")]

OWN = ("dataset", "defense", "config", "preset", "prior", "folds", "seed", "out", "cache", "device", "jobs", "quiet")


@grouped
def train(
    context: typer.Context,
    chosen: Chosen,
    running: Running,
    config: Config = None,
    preset: PresetOption = None,
    prior: PriorOption = False,
    folds: Folds = 1,
    out: Out = None,
    jobs: JobsOption = 1,
) -> None:
    """Train segmentation (and unmixing) networks for a defense, or with --prior what 'bss' attacks with.

    Trains on everybody who is no victim of an audit with the same dataset, split and seed. The same command after a
    kill continues where it stopped.
    """
    from privaudit.files import write_text
    from privaudit.provenance import without_folders

    command = f"privaudit {without_folders(sys.argv[1:])}"
    if prior:
        from privaudit.prior.training import open_prior_training

        if chosen.defense is not None or folds != 1:
            raise OptionError("a prior is of raw patches, and trained once", todo="leave out --defense and --folds")
        prior_spec = build_prior_spec(context.args, config, chosen, preset)
        opened = open_prior_training(prior_spec, out, running.cache, running.device, jobs, running.quiet, command)
        run_trainings([opened], running.quiet)
        return
    from privaudit.segmentation.opening import folder_of, open_training

    spec = build_spec(context.args, config, chosen, preset)
    trainings = open_training(spec, out, running.cache, running.device, jobs, running.quiet, command, folds)
    results = run_trainings(trainings, running.quiet)
    if folds > 1:
        text = fold_summary([result.scores for result in results])
        write_text(folder_of(spec, out) / "folds.json", text)
        typer.echo(text, nl=False)


def run_trainings(trainings: Sequence[Loop], quiet: bool) -> list[Trained]:
    """Run one training after another with a progress bar each, and print what they end with."""
    from privaudit.learning.loop import reaching

    results = []
    for number, training in enumerate(trainings, start=1):
        name = "train" if len(trainings) == 1 else f"fold {number} of {len(trainings)}"
        with progress_bars(quiet, speed=True) as progress:
            advance = progress(name, training.options.steps)
            try:
                results.append(training.run(reaching(advance)))
            except KeyboardInterrupt:
                typer.echo(f"interrupted at step {training.progress.step}; the same command goes on", err=True)
                raise
        scores = ", ".join(f"{k} {v:.3f}" for k, v in results[-1].scores.items() if v is not None)
        typer.echo(f"{results[-1].folder}: {scores} ({training.scored})")
        for flaw in results[-1].flaws:
            typer.echo(f"COLLAPSED: {flaw}", err=True)
        for doubt in results[-1].doubts:
            typer.echo(f"beware: {doubt}", err=True)
    return results


def fold_summary(scores: list[dict[str, float | None]]) -> str:
    """Mean and spread over folds, as JSON."""
    import json
    import statistics

    summary: dict[str, Any] = {"folds": scores}
    for name in scores[0]:
        found = [value for fold in scores if (value := fold[name]) is not None]
        spread = statistics.stdev(found) if len(found) > 1 else None
        summary[name] = {"mean": statistics.fmean(found) if found else None, "sd": spread}
    return json.dumps(summary, indent=1) + "\n"


def build_spec(extra: list[str], config: Path | None, chosen: Chosen, preset: Preset | None) -> TrainSpec:
    """Merge preset, specification and options: options win over the specification, that over the preset."""
    from privaudit.segmentation.options import PRESETS, TrainOptions, TrainSpec, parse_training

    wanted = {"dataset": chosen.dataset, "defense": chosen.defense}
    data = _merge(extra, config, TrainSpec, TrainOptions, PRESETS[preset or "quick"], wanted, chosen.seed)
    return parse_training(TrainSpec, TrainOptions, data, str(config or "command line"))


def build_prior_spec(extra: list[str], config: Path | None, chosen: Chosen, preset: Preset | None) -> PriorSpec:
    """The same for a prior."""
    from privaudit.prior.options import PRIOR_PRESETS, PriorOptions, PriorSpec
    from privaudit.segmentation.options import parse_training

    wanted = {"dataset": chosen.dataset}
    data = _merge(extra, config, PriorSpec, PriorOptions, PRIOR_PRESETS[preset or "quick"], wanted, chosen.seed)
    return parse_training(PriorSpec, PriorOptions, data, str(config or "command line"))


def _merge(
    extra: list[str], config: Path | None, model: type[SpecT], options: type[LoopOptions], preset: dict[str, Any],
    plugins: dict[str, str | None], seed: int | None,
) -> dict[str, Any]:  # fmt: skip
    from privaudit.cli.building import choose_plugins, fill
    from privaudit.cli.routing import read_pairs, route
    from privaudit.segmentation.options import parse_training, read_training
    from privaudit.specs import SplitSpec
    from privaudit.yaml_reading import load_yaml

    base: Any = model() if config is None else parse_training(model, options, read_training(config), str(config))
    data: dict[str, Any] = base.model_dump()
    data["train"] = {**preset, **base.train.model_dump(exclude_unset=True)}
    sections = choose_plugins(data, **plugins)
    sections["train"] = data["train"], options
    owners = {name: list(section.model_fields) for name, (_, section) in sections.items()}
    if "defense" in plugins and "patch_size" in owners[data["defense"]["name"]]:
        owners["train"].remove("patch_size")  # training follows the defense
    owners["split"] = list(SplitSpec.model_fields)
    routed = route(read_pairs(extra), owners, OWN)
    split = routed.pop("split").items()
    data["split"] = {**data["split"], **{key: load_yaml(value, f"--split.{key}") for key, value in split}}
    if "defense" in plugins:
        _refuse_unused({**base.train.model_dump(exclude_unset=True), **routed["train"]}, data["defense"]["name"])
    fill(sections, routed)
    if seed is not None:
        data["seed"] = seed
    return data


def _refuse_unused(given: Mapping[str, Any], defense: str) -> None:
    """An option that would change nothing is a mistake."""
    from privaudit.contracts import plugin
    from privaudit.contracts.defense import Defense
    from privaudit.segmentation.options import USED_BY

    scheme = plugin.load("defenses", defense, Defense)
    for name in (key.replace("-", "_") for key in given):
        if name in USED_BY and not USED_BY[name](scheme):
            raise OptionError(
                f"a training of '{defense}' does not use --{name.replace('_', '-')}",
                todo="leave it out, or give another --defense",
            )  # fmt: skip
