"""``privaudit segment``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from privaudit.cli.options import Running, grouped
from privaudit.cli.progress import progress_bars
from privaudit.cli.remote import Remote, opened, sent_ledger

if TYPE_CHECKING:
    from privaudit.contracts.cohort import Dataset
    from privaudit.segmentation.weights import Weights


@grouped
def segment(
    context: typer.Context,
    image: Annotated[
        Path, typer.Argument(help="Skull-stripped T1w image: NIfTI, MGZ, or the folder of a DICOM series.")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Label map to write, on the image's own grid.")],
    weights: Annotated[Path, typer.Option("--weights", help="Trained weights: a folder, or shipped ones by name.")],
    running: Running,
    remote: Remote,
    dataset: Annotated[
        str | None,
        typer.Option("--dataset", help="Whose labelled scans are mixed in, if any are. [default: the weights']"),
    ] = None,
    views: Annotated[int | None, typer.Option("--views", help="Encoded views, K. [default: the defense's]")] = None,
    unmixing: Annotated[Literal["naive", "learned"], typer.Option(help="How the client unmixes.")] = "learned",
    variance: Annotated[
        Path | None, typer.Option("--variance", help="Also write the variance over views (an uncertainty map).")
    ] = None,
    ledger: Annotated[
        Path | None,
        typer.Option("--ledger", help="Never mix a reference in twice: note in this file which ones were."),
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Refused: keys of a client have no seed.")] = None,
) -> None:
    """Segment one image through a defense: client and server in one process, or with --server by a server elsewhere.

    Options of the dataset pass through: --root, --voxel-mm.
    """
    from privaudit.errors import OptionError
    from privaudit.segmentation.single import check_there, segment_file
    from privaudit.segmentation.weights import load_weights

    if seed is not None:
        raise OptionError(
            "keys of a client come from the operating system: who knows a seed knows them all", got=f"--seed {seed}",
            todo="leave it out; audits repeat with a seed, by keys that nobody uses",
        )  # fmt: skip
    check_there(image)
    loaded = load_weights(weights, server=remote.server is None)
    references = references_of(loaded, dataset, context.args)
    with progress_bars(running.quiet) as progress, opened(remote, loaded) as server:
        segment_file(
            image, output, loaded, references, views=views, unmixing=unmixing, variance=variance, ledger=ledger,
            cache=running.cache, device=running.device, progress=progress, remote=server,
            sent_ledger=sent_ledger(remote),
        )  # fmt: skip
    typer.echo(f"label map: {output}" + (f"\nvariance: {variance}" if variance else ""))


def references_of(weights: Weights, dataset: str | None, extra: list[str]) -> Dataset | None:
    """The dataset whose scans serve as references: the one asked for, or that of the weights.

    A scheme that mixes nothing in needs nobody's scans, unless the user names some, whose box is then taken.

    Args:
        weights: what they were trained on is the default.
        dataset: name, or None.
        extra: its options, as typed.
    """
    from privaudit.cli.routing import read_pairs, route
    from privaudit.contracts import plugin
    from privaudit.contracts.cohort import Dataset
    from privaudit.contracts.defense import Defense

    if not (plugin.load("defenses", weights.config.defense["name"], Defense).needs_pool or dataset or extra):
        return None
    name = dataset or weights.config.dataset["name"]
    options = list(plugin.load("datasets", name, Dataset).Options.model_fields)
    values: dict[str, Any] = route(read_pairs(extra), {name: options}, ("views", "unmixing"))[name]
    if dataset is None and name == "phantom":
        values = {"voxel_mm": weights.config.voxel_mm, "subjects": 24, **values}
    return plugin.create("datasets", name, Dataset, values)
