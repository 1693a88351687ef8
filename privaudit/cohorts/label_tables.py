"""What the label values of common segmentation programs mean, as tissues: the files in ``tables/`` say from where."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final, Literal

import yaml
from pydantic import Field as Option

TABLES: Final = Path(__file__).parent / "tables"
TISSUE: Final = {"CSF": 1, "GM": 2, "WM": 3}
NAMES: Final = ("dlmuse", "freesurfer", "synthseg")

LabelTable = Annotated[
    Literal["dlmuse", "freesurfer", "synthseg"] | None,
    Option(description="the program whose label values the label maps hold, in place of label_map"),
]


@lru_cache
def label_table(name: str) -> dict[int, int]:
    """The tissue (0 background, 1 CSF, 2 GM, 3 WM) of each label value of a program, one of ``NAMES``."""
    groups = yaml.safe_load((TABLES / f"{name}.yaml").read_text(encoding="utf-8"))
    return {0: 0} | {value: TISSUE[tissue] for tissue, values in groups.items() for value in values}


def tables_with(values: Iterable[int]) -> list[str]:
    """The tables that know all of these values."""
    wanted = set(values)
    return [name for name in NAMES if wanted <= label_table(name).keys()]
