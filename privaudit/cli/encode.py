"""``privaudit encode``: what a scheme makes of a cohort, as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from privaudit.cli.options import Chosen, grouped


@grouped
def encode(
    context: typer.Context,
    chosen: Chosen,
    out: Annotated[Path, typer.Option("--out", help="A new or empty folder.")],
    cache: Annotated[Path | None, typer.Option("--cache", help="Folder for generated data.")] = None,
    format: Annotated[str, typer.Option("--format", help="nii.gz or npy.")] = "nii.gz",
) -> None:
    """Write what leaves the building, as files sub-*/ses-*/anat/*_desc-encoded_T1w that '--defense recorded' reads.

    Options of the dataset and of the defense pass through. Keys come from the operating system unless there is --seed.
    """
    from privaudit.auditing.encoding import write_encodings
    from privaudit.cli.building import choose_plugins, fill
    from privaudit.cli.progress import progress_bars
    from privaudit.cli.routing import read_pairs, route
    from privaudit.errors import OptionError

    if format not in ("nii.gz", "npy"):
        raise OptionError("no such format", got=format, allowed="nii.gz or npy")
    data = {"dataset": {"name": "phantom"}, "defense": {"name": "mixup"}}
    sections = choose_plugins(data, dataset=chosen.dataset, defense=chosen.defense)
    owners = {name: list(options.model_fields) for name, (_, options) in sections.items()}
    fill(sections, route(read_pairs(context.args), owners, ("dataset", "defense", "seed", "out", "cache", "format")))
    with progress_bars(False) as progress:
        count = write_encodings(data["dataset"], data["defense"], chosen.seed, out, cache, format, progress)
    typer.echo(f"wrote {count} files; audit them with: privaudit audit --defense recorded --recorded.root {out} …")
