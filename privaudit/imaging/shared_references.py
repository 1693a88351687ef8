"""Which views share a reference: told by what differs between the views of one target."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import lsqr
from scipy.spatial import cKDTree

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PARALLEL: Final = 0.05
"""Radians within which two differences are parallel; those of other references are 60 degrees apart, or more."""
SKETCH: Final = 48
"""Random projections that directions are compared on."""

RIDGE: Final = 1e-6
"""Variance of what a row holds beyond the model, as a share of the prior's."""
ALIKE: Final = 0.75
"""Correlation of what views hold beside their targets, from which they may have the same references; half is by chance
where one of two references is the same."""


@dataclass(frozen=True, eq=False)
class Shared:
    """Which views share a reference.

    Attributes:
        reference: int [n, K], equal numbers for equal references, 0 to p − 1.
        group: int [n], targets that are linked by references which they share.
        scale: float [n], 1 − α of each target, up to one factor in each group.
    """

    reference: Ints
    group: Ints
    scale: Floats


def rank_of(rows: Floats, digits: float = 2.0**-24) -> int:
    """How many images the rows [R, T] are mixed from, by their singular values.

    Args:
        rows: whitened or not.
        digits: relative precision of what was sent.
    """
    values = np.linalg.svd(rows @ rows.T, compute_uv=False, hermitian=True)
    # Rounding errors are uniform: a third of their square, times what values of about 1 are in standard deviations.
    noise = digits**2 / 3 * max(1.0, float((rows**2).mean())) * rows.shape[1] * 100
    return int((values > max(noise, values[0] * len(rows) * np.finfo(np.float64).eps)).sum())


def share_references(rows: Floats, rng: np.random.Generator, references: int = 1) -> Shared:
    """Find views that share a reference, by parallel differences.

    Args:
        rows: [n, K, T] with K of at least 2.
        rng: of the projections.
        references: in one mixture. With several, b + c and b + d differ by c − d as e + c and e + d do: such views must
            look alike, too.
    """
    n, views, voxels = rows.shape
    first, second = np.triu_indices(views, 1)
    projection = rng.normal(size=(voxels, SKETCH)) / np.sqrt(SKETCH)
    sketch = rows @ projection
    apart = (sketch[:, first] - sketch[:, second]).reshape(-1, SKETCH)
    owner = np.repeat(np.arange(n), len(first))
    one = owner * views + np.tile(first, n)
    two = owner * views + np.tile(second, n)
    length = np.linalg.norm(apart, axis=1)
    there = length > 1e-9 * max(float(length.max()), 1e-300)
    turn = np.sign(apart[:, 0])
    unit = apart * (turn / np.where(there, length, 1.0))[:, None]
    one, two = np.where(turn < 0, two, one), np.where(turn < 0, one, two)
    which = np.flatnonzero(there)
    pairs = cKDTree(unit[which]).query_pairs(PARALLEL, output_type="ndarray")
    a, b = which[pairs[:, 0]], which[pairs[:, 1]]
    apart_too = owner[a] != owner[b]
    a, b = a[apart_too], b[apart_too]
    if references > 1:
        alone = np.concatenate([without_target(row, np.ones(views))[0] for row in rows])
        alone /= np.linalg.norm(alone, axis=1, keepdims=True)
        alike = np.minimum((alone[one[a]] * alone[one[b]]).sum(1), (alone[two[a]] * alone[two[b]]).sum(1)) > ALIKE
        a, b = a[alike], b[alike]
    ends = np.concatenate([one[a], two[a]]), np.concatenate([one[b], two[b]])
    reference = components(n * views, *ends).reshape(n, views)
    group = components(n, owner[a], owner[b])
    return Shared(reference, group, ratios(n, owner[a], owner[b], np.log(length[a] / length[b])))


def components(nodes: int, one: Ints, two: Ints) -> Ints:
    """A number for each of the nodes, equal for those that are linked, in one step or several."""
    links = sparse.coo_matrix((np.ones(len(one)), (one, two)), shape=(nodes, nodes))
    return np.asarray(connected_components(links, directed=False)[1], dtype=np.int64)


def ratios(n: int, one: Ints, two: Ints, logs: Floats) -> Floats:
    """Numbers [n] whose ratios are given in logarithms; 1 where nothing is."""
    if not len(one):
        return np.ones(n)
    row = np.arange(len(one))
    system = sparse.coo_matrix(
        (np.r_[np.ones(len(one)), -np.ones(len(one))], (np.r_[row, row], np.r_[one, two])), shape=(len(one), n)
    ).tocsr()
    return np.asarray(np.exp(lsqr(system, logs, atol=1e-14, btol=1e-14, iter_lim=10 * n)[0]))


def without_target(rows: Floats, share: Floats) -> tuple[Floats, Floats]:
    """Take one target out of its views.

    Args:
        rows: [K, T].
        share: [K], the target's weights up to a factor, which is the likeliest one.

    Returns:
        What is likely left of each view, and with which weight [K].
    """
    gram, views = rows @ rows.T, len(rows)

    def covariance(factor: float) -> Floats:
        alpha = factor * share
        return np.outer(alpha, alpha) + np.diag((1 - alpha) ** 2) + RIDGE * np.eye(views)

    def misfit(factor: float) -> float:
        matrix = covariance(factor)
        return float(rows.shape[1] * np.linalg.slogdet(matrix)[1] + np.trace(np.linalg.solve(matrix, gram)))

    factor = min(np.linspace(0.02, 0.999, 60).tolist(), key=misfit)
    alpha = factor * share
    target = alpha @ np.linalg.solve(covariance(factor), rows)
    return rows - alpha[:, None] * target, 1 - alpha
