"""What the values of a label map mean: from the file's values to the cohort's labels."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator
from pydantic import Field as Option

from privaudit.cohorts.label_tables import tables_with
from privaudit.errors import DataError

AS_IS: Final = {0: 0, 1: 1, 2: 2, 3: 3}
MAP_LABELS: Final = "say what it means with the option label_map, as '{0: 0, 1: 1, 2: 2, 3: 3}'"

TISSUES: Final = {
    0: {"background", "bg"},
    1: {"cerebrospinal fluid", "csf"},
    2: {"gray matter", "grey matter", "gm"},
    3: {"white matter", "wm"},
}
"""Names, in a dseg.tsv, of the labels that every brain cohort has."""


def check_label_map(label_map: dict[int, int] | None) -> dict[int, int] | None:
    """Return the map if every label it gives is 0 to 3."""
    if label_map is not None and not set(label_map.values()) <= set(AS_IS):
        raise ValueError("must give 0 (background), 1 (CSF), 2 (GM) or 3 (WM) for each value in the file")
    return label_map


LabelMap = Annotated[
    dict[int, int] | None,
    AfterValidator(check_label_map),
    Option(
        description="what each value in the label maps means: 0 background, 1 CSF, 2 GM, 3 WM, as "
        "'{0: 0, 1: 2, 2: 3, 3: 1}'; by default from dseg.tsv, else 0 to 3 as they are"
    ),
]


def map_labels(values: NDArray[Any], known: Mapping[int, int], cure: str, path: Path) -> NDArray[np.uint8]:
    """Return the labels for the values of a label map.

    Args:
        values: as in the file.
        known: the label for each value.
        cure: what to do about a value that ``known`` lacks.
        path: the file, for errors.

    Raises:
        DataError: values are no integers, have no label, or all mean background.
    """
    found = np.unique(values)
    if found.dtype.kind == "f":
        if not np.isfinite(found).all() or np.abs(found - np.rint(found)).max() > 1e-3:
            raise DataError(
                f"{path} holds values that are no integers", todo="give a label map (dseg), not probabilities (probseg)"
            )
        values, found = np.rint(values), np.unique(np.rint(found))
    unknown = [int(value) for value in found if int(value) not in known]
    if unknown:
        fitting = " or ".join(f"labels={name}" for name in tables_with(int(value) for value in found))
        raise DataError(
            f"{path} has label values of unknown meaning: {_some(unknown)}",
            allowed=_some(sorted(known)),
            todo=f"these are values of a program that is known: give the option {fitting}" if fitting else cure,
        )
    target = np.array([known[int(value)] for value in found], np.uint8)
    labels = target[np.searchsorted(found, values)]
    if not labels.any():
        raise DataError(f"{path} labels nothing: every voxel is background", todo="segment again, or drop the scan")
    return labels


def _some(values: Sequence[int], most: int = 10) -> str:
    """The first values, and how many there are where there are more."""
    shown = ", ".join(map(str, values[:most]))
    return shown if len(values) <= most else f"{shown}, ... ({len(values)} values)"


def read_dseg_tsv(path: Path) -> dict[int, int]:
    """Return the label for each value that a BIDS ``dseg.tsv`` names as a tissue; other values are left out.

    Raises:
        DataError: the table is unreadable or has no columns ``index`` and ``name``.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            rows = list(csv.DictReader(stream, delimiter="\t"))
        named = {int(row["index"]): (row["name"], row.get("abbreviation")) for row in rows}
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise DataError(
            f"{path} is no label table", allowed="tab-separated columns index and name", todo="repair or remove it"
        ) from error
    by_name = {name: label for label, names in TISSUES.items() for name in names}
    found = {}
    for value, names in named.items():
        labels = {by_name[name.strip().lower()] for name in names if name and name.strip().lower() in by_name}
        if len(labels) == 1:
            found[value] = labels.pop()
    return {0: 0, **found}
