"""``python -m benchmarks.same_records RUN_A RUN_B``: do two runs of one audit say the same, figure by figure?

Compares every finding (verdicts, estimates, intervals, comparisons, controls, curves, notes), every utility row and
every health row, and what else a card shows. Left out: seconds, and when, where and by which code it was made. Folders
of panels are compared run by run. Exit code 1 and one line for each difference if there is any.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LEFT_OUT = {"seconds", "provenance"}


def differences(one: Any, other: Any, place: str = "", tolerance: float = 0.0) -> Iterator[str]:
    """Places where two pieces of JSON differ, each a line; numbers may by so much."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in sorted({*one, *other} - LEFT_OUT):
            if key not in one or key not in other:
                yield f"{place}.{key}: only in {'the second' if key in other else 'the first'}"
            else:
                yield from differences(one[key], other[key], f"{place}.{key}", tolerance)
    elif isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            yield f"{place}: {len(one)} and {len(other)} entries"
        for number, pair in enumerate(zip(one, other, strict=False)):
            yield from differences(*pair, f"{place}[{number}]", tolerance)
    elif isinstance(one, float) and isinstance(other, float):
        if not math.isclose(one, other, rel_tol=0, abs_tol=tolerance):
            yield f"{place}: {one!r} and {other!r}"
    elif one != other or type(one) is not type(other):
        yield f"{place}: {one!r} and {other!r}"


def runs(folder: Path) -> dict[str, Path]:
    """The records in a folder, by the run's name; of one run, under an empty name."""
    if (folder / "record.json").is_file():
        return {"": folder / "record.json"}
    return {file.parent.name: file for file in sorted(folder.glob("*/record.json"))}


def main(arguments: list[str]) -> int:
    """Compare two runs, or two panels."""
    first, second = (runs(Path(argument)) for argument in arguments)
    if not first or first.keys() != second.keys():
        print(f"not the same runs: {sorted(first)} and {sorted(second)}")
        return 1
    failed = 0
    for name in first:
        one, other = (json.loads(found[name].read_text(encoding="utf-8")) for found in (first, second))
        found = list(differences(one, other, name or "record"))
        failed += bool(found)
        counts = ", ".join(f"{len(one[part])} {part}" for part in ("findings", "utility", "health", "missing"))
        print(f"{name or arguments[0]}: {'equal' if not found else f'{len(found)} differences'} ({counts})")
        for line in found[:20]:
            print(f"  {line}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
