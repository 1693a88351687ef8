"""What a scheme makes of a cohort, written as files that :mod:`privaudit_defenses.recorded` reads."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np

from privaudit.auditing.opening import Progress
from privaudit.contracts import plugin
from privaudit.contracts.cohort import Dataset
from privaudit.contracts.defense import Defense
from privaudit.errors import OptionError, PluginError
from privaudit.files import atomic_path, check_place
from privaudit.imaging.patches import as_tensor, stitch
from privaudit.seeds import seed_from


def write_encodings(
    dataset: Mapping[str, Any], defense: Mapping[str, Any], seed: int | None, out: Path, cache: Path | None,
    ending: str, progress: Progress,
) -> int:  # fmt: skip
    """Encode every scan of a cohort, each with a key of its own.

    Args:
        dataset: name and options.
        defense: name and options; it must mix nobody in.
        seed: of the keys; None for the operating system's generator.
        out: folder that is new or empty.
        cache: folder for generated data.
        ending: 'nii.gz' or 'npy'; encodings off the image's grid need the latter.
        progress: makes the bar.

    Returns:
        How many files were written.

    Raises:
        PrivauditError: bad options or data, or a folder with something in it.
    """
    check_place(out)
    if out.exists() and any(out.iterdir()):
        raise OptionError(f"{out} is not empty", todo="choose another folder with --out")
    cohort = plugin.create("datasets", dataset["name"], Dataset, _options(dataset)).open(cache=cache)
    scheme = plugin.create("defenses", defense["name"], Defense, _options(defense)).fitted(cohort, cohort.subjects)
    if scheme.needs_pool:
        raise PluginError(f"'{scheme.name}' mixes others' scans in, and there is no pool here", todo="use 'audit'")
    cohort.prepare(cohort.scans)
    advance, written = progress("encode", len(cohort.scans)), 0
    for scan in cohort.scans:
        rng = random.SystemRandom() if seed is None else random.Random(seed_from(seed, scan.subject, scan.session))
        volume = cohort.load(scan)
        key = scheme.draw_key(cohort.shape, [], rng)
        sent = scheme.encode(as_tensor(volume.image), key, scheme.views)
        if sent.sent is not None and ending != "npy":
            raise OptionError("what is sent is not on the image's grid", got=ending, todo="add --format npy")
        for number in range(len(sent.views)):
            view = f"_view-{number + 1}" if len(sent.views) > 1 else ""
            name = f"sub-{scan.subject}_ses-{scan.session}_desc-encoded{view}_T1w.{ending}"
            values = (
                stitch(sent.views[number], sent.positions, cohort.shape) if sent.sent is None else sent.sent[number]
            )
            folder = out / f"sub-{scan.subject}" / f"ses-{scan.session}" / "anat"
            with atomic_path(folder / name) as temporary:
                _write(temporary, values.numpy(), volume.affine)
            written += 1
        advance(1)
    return written


def _options(item: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in item.items() if key != "name"}


def _write(path: Path, values: Any, affine: Any) -> None:
    if path.name.endswith("npy"):
        with path.open("wb") as stream:
            np.save(stream, values)
        return
    make: Any = nib.Nifti1Image
    nib.save(make(values, affine), path)
