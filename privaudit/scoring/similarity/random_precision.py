"""Mean average precision of many random similarities, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np

from privaudit.compiling import compiled


@compiled()
def _greater(values: Any, than: Any) -> Any:
    found = 0
    for value in values:
        found += value > than
    return found


@compiled()
def among_queries(scores: Any, mine: Any, others: int, out: Any) -> None:
    """Where the gallery is the queries themselves, and ``others`` who ask nothing.

    Args:
        scores: draws [D, n·n + n·others]: similarities of n queries to each other, of which those above the diagonal
            count for both, and then to the others.
        mine: for each query the others of the same person, [n, most]; -1 at the end where there are fewer.
        others: how many.
        out: mAP [D], written.
    """
    n, most = mine.shape
    count = (mine >= 0).sum(axis=1)
    alike, above = np.empty((n, n)), np.empty(most, np.int64)
    for draw in range(len(scores)):
        r, total = scores[draw], 0.0
        for i in range(n):
            alike[i, i] = -1.0  # to itself below all
            for k in range(i + 1, n):
                alike[i, k] = alike[k, i] = r[i * n + k]
        for i in range(n):
            beyond = r[n * n + i * others : n * n + (i + 1) * others]
            for place in range(count[i]):
                own = alike[i, mine[i, place]]
                above[place] = _greater(alike[i], own) + _greater(beyond, own)
            total += _average_precision(above, count[i])
        out[draw] = total / n


@compiled()
def in_galleries(scores: Any, row: Any, positives: Any, sizes: Any, out: Any) -> None:
    """Where each query has a gallery, whose first entries are of the same person.

    Args:
        scores: draws [D, rows, columns].
        row: which row of a draw each query has, [n].
        positives: how many entries of the same person, [n].
        sizes: of the galleries, [n].
        out: mAP [D], written.
    """
    above = np.empty(positives.max(), np.int64)
    for draw in range(len(scores)):
        total = 0.0
        for i in range(len(row)):
            r, count = scores[draw, row[i]], positives[i]
            for place in range(count):
                above[place] = _greater(r[: sizes[i]], r[place])
            total += _average_precision(above, count)
        out[draw] = total / len(row)


@compiled()
def _average_precision(above: Any, count: Any) -> Any:
    """From how many entries are above each of the same person's."""
    places = np.sort(above[:count])
    total = 0.0
    for number in range(count):
        total += (number + 1) / (places[number] + 1)
    return total / count
