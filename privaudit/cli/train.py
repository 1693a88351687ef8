"""``privaudit train`` and ``privaudit segment``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from privaudit.cli.audit import Cache, DatasetOption, DefenseOption, Device, Quiet, Seed, progress_bars
from privaudit.errors import OptionError

if TYPE_CHECKING:
    from privaudit.segmentation.options import Preset, TrainSpec

EPILOG = (
    "Every option of the dataset, the defense and the training is an option here: --steps 2000, --size small, "
    "--patch-size 32, --voxel-mm 2. Where two share a name, write --phantom.seed 1."
)

Out = Annotated[Path | None, typer.Option("--out", help="Folder. [default: privaudit-weights/<name>]")]
Config = Annotated[Path | None, typer.Option("--config", help="Training specification (YAML); options win.")]
PresetOption = Annotated[
    Literal["quick", "standard", "paper"] | None,
    typer.Option("--preset", help="quick: minutes on two cores. standard: half an hour on a GPU. paper: as published."),
]
Folds = Annotated[int, typer.Option("--folds", min=1, help="Cross-validate by subject with so many folds.")]
JobsOption = Annotated[int, typer.Option("--jobs", help="Processes for generating data.")]

OWN = ("dataset", "defense", "config", "preset", "folds", "seed", "out", "cache", "device", "jobs", "quiet")


def train(
    context: typer.Context,
    dataset: DatasetOption = None,
    defense: DefenseOption = None,
    config: Config = None,
    preset: PresetOption = None,
    folds: Folds = 1,
    seed: Seed = None,
    out: Out = None,
    cache: Cache = None,
    device: Device = "auto",
    jobs: JobsOption = 1,
    quiet: Quiet = False,
) -> None:
    """Train segmentation (and unmixing) networks for a defense.

    Trains on everybody who is no victim of an audit with the same dataset, split and seed. The same command after a
    kill continues where it stopped.
    """
    from privaudit.files import write_text
    from privaudit.provenance import without_folders
    from privaudit.segmentation.training import folder_of, open_training

    spec = build_spec(context.args, config, dataset, defense, preset, seed)
    command = f"privaudit {without_folders(sys.argv[1:])}"
    trainings = open_training(spec, out, cache, device, jobs, quiet, command, folds)
    results = []
    for number, training in enumerate(trainings):
        name = "train" if folds == 1 else f"fold {number + 1} of {folds}"
        with progress_bars(quiet, speed=True) as progress:
            advance = progress(name, spec.train.steps)
            seen = 0

            def report(step: int, figures: dict[str, float | None], advance: Any = advance) -> None:
                nonlocal seen
                advance(step - seen)
                seen = step

            results.append(training.run(report))
        scores = ", ".join(f"{k} {v:.3f}" for k, v in results[-1].scores.items() if v is not None)
        typer.echo(f"{results[-1].folder}: {scores} (patches of held-out people)")
    if folds > 1:
        text = fold_summary([result.scores for result in results])
        write_text(folder_of(spec, out) / "folds.json", text)
        typer.echo(text, nl=False)


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


def build_spec(
    extra: list[str],
    config: Path | None,
    dataset: str | None,
    defense: str | None,
    preset: Preset | None,
    seed: int | None,
) -> TrainSpec:
    """Merge preset, specification and options: options win over the specification, that over the preset."""
    from privaudit.cli.building import choose_plugins, fill
    from privaudit.cli.routing import read_pairs, route
    from privaudit.segmentation.options import PRESETS, TrainOptions, TrainSpec, parse_train_spec, read_train_spec
    from privaudit.spec import SplitSpec

    base = TrainSpec() if config is None else read_train_spec(config)
    data: dict[str, Any] = base.model_dump()
    given = base.train.model_dump(exclude_unset=True)
    data["train"] = {**PRESETS[preset or "quick"], **given}
    sections = choose_plugins(data, dataset, defense)
    sections["train"] = data["train"], TrainOptions
    owners = {name: list(options.model_fields) for name, (_, options) in sections.items()}
    if "patch_size" in owners[data["defense"]["name"]]:
        owners["train"].remove("patch_size")  # training follows the defense
    owners["split"] = list(SplitSpec.model_fields)
    routed = route(read_pairs(extra), owners, OWN)
    try:
        data["split"] = {**data["split"], **{key: float(value) for key, value in routed.pop("split").items()}}
    except ValueError:
        raise OptionError("split shares are numbers", got=extra) from None
    fill(sections, routed)
    if seed is not None:
        data["seed"] = seed
    return parse_train_spec(data, str(config or "command line"))


def segment(
    context: typer.Context,
    image: Annotated[Path, typer.Argument(help="Skull-stripped T1w image, NIfTI or MGZ.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Label map to write, on the image's own grid.")],
    weights: Annotated[Path, typer.Option("--weights", help="Trained weights: a folder, or shipped ones by name.")],
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Whose labelled scans serve as references. [default: the weights']")
    ] = None,
    views: Annotated[int | None, typer.Option("--views", help="Encoded views, K. [default: the defense's]")] = None,
    unmixing: Annotated[Literal["naive", "learned"], typer.Option(help="How the client unmixes.")] = "learned",
    variance: Annotated[
        Path | None, typer.Option("--variance", help="Also write the variance over views (an uncertainty map).")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Draw keys from a seed, to repeat a result; never in real use.")
    ] = None,
    cache: Cache = None,
    device: Device = "auto",
    quiet: Quiet = False,
) -> None:
    """Segment one image through a defense: client and server in one process, by way of the transcript an attack sees.

    Options of the dataset pass through: --root, --voxel-mm.
    """
    from privaudit import plugin
    from privaudit.cli.routing import read_pairs, route
    from privaudit.cohort import Dataset
    from privaudit.segmentation.single import segment_file
    from privaudit.segmentation.weights import load_weights

    loaded = load_weights(weights)
    name = dataset or loaded.config.dataset["name"]
    options = list(plugin.load("datasets", name, Dataset).Options.model_fields)
    values: dict[str, Any] = route(read_pairs(context.args), {name: options}, ("views", "unmixing"))[name]
    if dataset is None and name == "phantom":
        values = {"voxel_mm": loaded.config.voxel_mm, "subjects": 24, **values}
    with progress_bars(quiet) as progress:
        segment_file(
            image, output, loaded, plugin.create("datasets", name, Dataset, values), views=views, unmixing=unmixing,
            variance=variance, seed=seed, cache=cache, device=device, progress=progress,
        )  # fmt: skip
    typer.echo(f"label map: {output}" + (f"\nvariance: {variance}" if variance else ""))
