"""Joint unmixing of one view a scan: who shares a reference, who is the same person, and every mixing weight.

Links are added while they raise the likelihood by enough (:class:`~privaudit.imaging.joint_links.Links`), and taken
back or moved where another place is likelier. Where air has told who shares a reference, only people are looked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privaudit.imaging.joint_links import ALIKES, COARSE, FINE, NOISE, Linked, Links
from privaudit.imaging.shared_references import Shared

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

GAIN: Final = 0.003
"""Log-likelihood per voxel, twice, that a link must gain."""
CANDIDATES: Final = 6
"""Pairs that are tried, for each row: those that gain most without anybody else."""
ROUNDS: Final = 2


def link(
    covariance: Floats, alike: float, shared: Shared | None = None, advance: Callable[[float], None] = lambda _: None
) -> Linked:
    """Find shared references, people and weights by greedy maximum likelihood.

    Args:
        covariance: of the rows [n, n], in units of an image's variance.
        alike: correlation ρ of two scans of one person, 0 to 1; not used where ``shared`` is given.
        shared: who shares a reference, where that is known (:func:`~privaudit.imaging.air_links.share_by_air`).
        advance: called with shares of the work, which add up to 1.
    """
    links = Links(covariance, alike, shared)
    if shared is not None:
        return _with_known_references(links, advance)
    n = len(covariance)
    one, two = np.triu_indices(n, 1)
    gains = _alone(covariance, one, two, alike)
    order = [k for k in np.argsort(-gains, kind="stable")[: CANDIDATES * n] if gains[k] > GAIN]
    for _ in range(ROUNDS):
        for k in order:
            links.move((int(one[k]), int(two[k])), _joined(links, int(one[k]), int(two[k])), GAIN)
            advance(0.8 / ROUNDS / len(order))
        links.fit()
        for row in range(n):
            links.move((row,), _moved(links, row), GAIN)
            advance(0.2 / ROUNDS / n)
        links.fit()
    return links.found()


def _with_known_references(links: Links, advance: Callable[[float], None]) -> Linked:
    """Find people and weights where it is known who shares a reference; how alike people are is estimated too."""
    n = len(links.alpha)
    links.alike = float(np.median(ALIKES))
    for _ in range(ROUNDS):
        gains = np.triu(links.expected(), 1)
        order = [k for k in np.argsort(-gains, axis=None, kind="stable")[: CANDIDATES * n] if gains.flat[k] > GAIN]
        for k in order:
            i, j = int(k) // n, int(k) % n
            links.move((i, j), _joined(links, i, j), GAIN)
            advance(0.9 / ROUNDS / len(order))
        links.fit()
        for row in range(n):
            links.move((row,), _moved(links, row), GAIN)
        links.fit(FINE)
        links.guess_alike()
        advance(0.1 / ROUNDS)
    links.fit(FINE)
    return links.found()


def _alone(covariance: Floats, one: Ints, two: Ints, alike: float) -> Floats:
    """What a link of each pair gains if nobody else is looked at."""
    first, second = (grid.ravel()[:, None] for grid in np.meshgrid(COARSE, COARSE, indexing="ij"))
    a, b = (alpha**2 + (1 - alpha) ** 2 + NOISE for alpha in (first, second))
    best = []
    for c in (0.0 * a, (1 - first) * (1 - second), alike * first * second):
        det = a * b - c**2
        parts = []
        for some in np.array_split(np.arange(len(one)), max(1, len(one) // 2048)):
            i, j = one[some], two[some]
            misfit = b * covariance[i, i] + a * covariance[j, j] - 2 * c * covariance[i, j]
            parts.append((-np.log(det) - misfit / det).max(axis=0))
        best.append(np.concatenate(parts))
    return np.asarray(np.maximum(best[1], best[2]) - best[0])


def _joined(links: Links, i: int, j: int) -> list[tuple[Ints, Ints]]:
    """Two rows may share a reference, and so all that share one with either; or they are a person's two scans."""
    reference, person = links.reference, links.person
    if person[i] == person[j]:
        return []
    pair = person.copy()
    pair[[i, j]] = person.max() + 1  # whoever stood beside them stands alone then
    if links.known:
        return [(reference, pair)]
    if reference[i] == reference[j]:
        return []
    options = [(np.where(reference == reference[j], reference[i], reference), person)]
    if (person == person[i]).sum() == 1 and (person == person[j]).sum() == 1:
        options.append((reference, pair))
    return options


def _moved(links: Links, row: int) -> list[tuple[Ints, Ints]]:
    """A row may leave its reference for another or none, where that is not known; or its person."""
    reference, person = links.reference, links.person
    options = []
    for other in set() if links.known else {*reference.tolist(), int(reference.max()) + 1} - {int(reference[row])}:
        moved = reference.copy()
        moved[row] = other
        options.append((moved, person))
    if (person == person[row]).sum() > 1:
        alone = person.copy()
        alone[row] = person.max() + 1
        options.append((reference, alone))
    return options
