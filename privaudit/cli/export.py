"""``privaudit export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer


def export(
    weights: Annotated[Path, typer.Option("--weights", help="Trained weights: a folder, or shipped ones by name.")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write.")],
    form: Annotated[
        Literal["onnx", "monai-bundle"],
        typer.Option("--format", help="onnx: a model folder for Triton or KServe; monai-bundle: for MONAI."),
    ] = "onnx",
) -> None:
    """Export the server's network for other servers, after its maps were compared with the network's."""
    from privaudit.cli.extras import need

    if form == "onnx":
        need("export", "onnx", "onnxruntime")
    from privaudit.segmentation.agreeing import TOLERANCE
    from privaudit.segmentation.exporting import export as write
    from privaudit.segmentation.weights import load_weights

    found = write(load_weights(weights), out, form)
    typer.echo(
        f"{form}: {out}; its maps, the network's and those of 'privaudit serve' differ by {found.difference:.1e}"
        f" (allowed: {TOLERANCE:g}), their Dice by {found.dice:g} (allowed: 0; {found.tied:.1e} of the voxels are tied)"
    )
