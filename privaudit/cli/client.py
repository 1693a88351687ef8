"""``privaudit client``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from privaudit.cli.options import Running, grouped
from privaudit.cli.progress import progress_bars
from privaudit.cli.remote import Remote, opened, sent_ledger
from privaudit.cli.segment import references_of


@grouped
def client(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(help="BIDS folder with skull-stripped T1w scans.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the label maps (BIDS derivatives).")],
    weights: Annotated[Path, typer.Option("--weights", help="Trained weights: a folder, or shipped ones by name.")],
    running: Running,
    remote: Remote,
    dataset: Annotated[
        str | None, typer.Option("--dataset", help="Whose labelled scans serve as references. [default: the weights']")
    ] = None,
    views: Annotated[int | None, typer.Option("--views", help="Encoded views, K. [default: the defense's]")] = None,
    unmixing: Annotated[Literal["naive", "learned"], typer.Option(help="How the client unmixes.")] = "learned",
    ledger: Annotated[
        Path | None,
        typer.Option("--ledger", help="Never mix a reference in twice: note in this file which ones were."),
    ] = None,
) -> None:
    """Segment every scan of a BIDS folder by a server elsewhere; the same command goes on where it was stopped.

    A scan that cannot be segmented is named at the end, and the others are done. With --shuffle the order of the scans
    is random, too. Options of the dataset pass through.
    """
    import json

    from privaudit.client.connection import ServerError
    from privaudit.client.folder import bids_items, description, still_to_do
    from privaudit.errors import OptionError, PrivauditError
    from privaudit.files import check_place, write_text

    if remote.server is None:
        raise OptionError("a client needs a server", todo="give its address: --server https://host:port")
    items = bids_items(folder, out)
    check_place(out)
    todo = still_to_do(items, remote.shuffle)

    from privaudit.segmentation.single import segment_file
    from privaudit.segmentation.weights import load_weights

    loaded = load_weights(weights, server=False)
    references = references_of(loaded, dataset, context.args)
    sent, failed = sent_ledger(remote), []
    with progress_bars(running.quiet) as progress:
        advance = progress("scans", len(items))
        advance(len(items) - len(todo))
        for item in todo:
            try:
                with opened(remote, loaded) as server:  # a connection of its own: none links two scans
                    segment_file(
                        item.image, item.output, loaded, references, views=views, unmixing=unmixing, ledger=ledger,
                        cache=running.cache, device=running.device, remote=server, sent_ledger=sent,
                    )  # fmt: skip
            except ServerError:
                raise  # it would be the same with the next
            except PrivauditError as error:
                failed.append(f"{item.image.relative_to(folder)}: {error}")
            advance(1)
    write_text(out / "dataset_description.json", json.dumps(description(folder.absolute().as_uri()), indent=1) + "\n")
    typer.echo(f"label maps: {len(items) - len(failed)} of {len(items)} in {out}")
    for line in failed:
        typer.echo(f"not segmented: {line}", err=True)
    if failed:
        raise typer.Exit(2)
