"""Joint unmixing where every view has a mixing weight of its own: exact, and without a prior.

What is orthogonal to all rows, N·Y = 0, is orthogonal to the weights too: N·W = 0. The column of a target holds nothing
but its own weights, so they follow up to a factor. Then the target can be taken out of its views; what is left are
references, and the factors follow from their columns, where N·W = 0 again is linear.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, sparse
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from privaudit.imaging.joint import Solution, Spread, design, unexplained, unmixing
from privaudit.imaging.shared_references import rank_of, without_target

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

ROUNDS: Final = 8
"""Of telling which view has which reference, each time from better images."""
SURE: Final = (0.6, 0.8, 0.95, 0.4)
"""Shares of the views, those that hold most of their reference, that references are first told from."""
EXACT: Final = 1e-5
"""Residual that rounding leaves, also in half precision."""


def solve_fresh(rows: Floats, digits: float) -> Solution | None:
    """Unmix rows whose mixing weights differ from view to view; see the module.

    Args:
        rows: [n, K, T].
        digits: relative precision of what was sent.

    Returns:
        The solution; None where there are not enough rows, or references cannot be told apart.
    """
    n, views, voxels = rows.shape
    flat = rows.reshape(n * views, voxels)
    rank = rank_of(flat, digits)
    references = rank - n
    if rank >= len(flat) or references < 2:
        return None
    gram = flat @ flat.T
    none = np.linalg.eigh(gram)[1][:, : len(flat) - rank].T.reshape(-1, n, views)
    share = np.empty((n, views))
    for target in range(n):
        share[target] = np.linalg.svd(none[:, target], full_matrices=True)[2][-1]
    share *= np.sign(share.sum(axis=1, keepdims=True))
    if float(share.min()) <= 0:
        return None
    share /= share.max(axis=1, keepdims=True)
    alone, rest = map(np.stack, zip(*map(without_target, rows, share), strict=True))
    tries = (_refined(rows, share, none, gram, _matched(alone, _start(alone, rest, references, sure))) for sure in SURE)
    best: Solution | None = None
    for found in tries:
        if best is None or found.residual < best.residual:
            best = found
        if best.residual < EXACT:
            break
    return best


def _refined(rows: Floats, share: Floats, none: Floats, gram: Floats, reference: Ints) -> Solution:
    """Solve for the images, tell again which view has which reference, and so on until nothing changes."""
    n, views, voxels = rows.shape
    flat = rows.reshape(n * views, voxels)
    for _ in range(ROUNDS):
        alpha = _factors(none, share, reference)[:, None] * share
        system = design(alpha, reference)
        weights = unmixing(system, n, Spread())
        images = weights @ flat
        # A view that holds next to nothing of its reference is told by what the others say of all references.
        again = _matched(rows - alpha[..., None] * images[:n, None], images[n:], 1 - alpha)
        if np.array_equal(again, reference):
            break
        reference = again
    return Solution(alpha, reference, weights, unexplained(gram, system, weights), np.full(n, True))


def _factors(none: Floats, share: Floats, reference: Ints) -> Floats:
    """Greatest mixing weight of each target [n], from the columns of references, where N·W = 0 is linear in them."""
    n, views = share.shape
    belongs = sparse.csr_matrix((np.ones(n * views), (np.arange(n * views), reference.ravel())))
    known = np.asarray(none.reshape(len(none), -1) @ belongs)
    columns = [
        np.asarray((none[:, target] * share[target]) @ belongs[target * views : (target + 1) * views]).ravel()
        for target in range(n)
    ]
    factor = np.linalg.lstsq(np.stack(columns, axis=1), known.ravel(), rcond=None)[0]
    return np.asarray(np.clip(factor, 1e-6, 1 - 1e-6), dtype=np.float64)


def _start(alone: Floats, rest: Floats, references: int, sure: float) -> Floats:
    """First guesses of the references' images [p, T] up to a factor, from views that hold much of them."""
    n, views, _ = alone.shape
    surest = np.argsort(-rest.ravel(), kind="stable")[: max(references, int(sure * rest.size))]
    unit = alone.reshape(n * views, -1)[surest]
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    distance = 1 - unit @ unit.T
    distance[np.equal.outer(surest // views, surest // views)] = 2.0
    np.fill_diagonal(distance, 0)
    pairs = squareform(np.clip((distance + distance.T) / 2, 0, 2), checks=False)
    number = fcluster(linkage(pairs, "average"), references, "maxclust") - 1
    return np.stack([unit[number == c].mean(axis=0) for c in range(int(number.max()) + 1)])


def _matched(alone: Floats, images: Floats, weight: Floats | None = None) -> Ints:
    """The reference of every view [n, K], each at most once in a target: by least squares, or by angle without weights.

    Args:
        alone: [n, K, T], views without their target.
        images: [p, T] of the references.
        weight: [n, K], with which they are in each view.
    """
    out = np.empty(alone.shape[:2], dtype=np.int64)
    size = (images**2).sum(axis=1)
    for target, views in enumerate(alone):
        product = views @ images.T
        if weight is None:
            cost = -product / np.sqrt(size)
        else:
            cost = weight[target][:, None] ** 2 * size - 2 * weight[target][:, None] * product
        out[target] = optimize.linear_sum_assignment(cost)[1] if len(images) >= len(views) else cost.argmin(axis=1)
    return out
