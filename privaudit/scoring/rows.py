"""Rows: what scoring keeps of one claim, or one query. Findings are made from rows alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Row = dict[str, Any]
DIGITS: Final = 6
"""Rows are rounded to what float32 carries, so that the number of threads does not show."""


def column_of(rows: Sequence[Row], name: str) -> Floats:
    """One figure of every row."""
    return np.array([row[name] for row in rows], dtype=np.float64)


def people_of(rows: Sequence[Row]) -> list[str]:
    """Whom each row is of."""
    return [row["person"] for row in rows]


def owners_of(rows: Sequence[Row]) -> list[str]:
    """Whose image was mixed in; the person scanned where several people's were."""
    return [str(row.get("owner", row["person"])) for row in rows]


def by_alpha(rows: Sequence[Row], values: Floats) -> dict[str, float]:
    """Mean by fifths of the mixing weight."""
    fifths = np.array([row.get("alpha_fifth", 0) for row in rows])
    return {
        f"{(f - 1) / 5:.1f}-{f / 5:.1f}": round(float(values[fifths == f].mean()), 6)
        for f in range(1, 6)
        if (fifths == f).any()
    }
