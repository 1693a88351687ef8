"""Joint unmixing: mixtures of many targets with references from one small pool, solved together.

A client with p references serves n targets with K views each: ``m_ik = α_i·x_i + (1 − α_i)·r_k``. All that is sent is
Y = W·X with two weights a row, n + p unknown images and hardly any noise. Two views of one target differ by
``(1 − α_i)·(r_k − r_l)``, which holds nothing of the target: where another target met the same two references, its
difference is parallel. So differences tell which views share a reference, and all 1 − α up to one scale. The scale is
the likeliest one under a Gaussian prior of each voxel, an atlas; then one linear system gives every image.

Rows are float64 and whitened: what a view has beyond the atlas, in standard deviations of each voxel.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from privaudit.imaging.shared_references import RIDGE, share_references

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

RANK: Final = 1e-7
"""Singular values below this share of the greatest are 0."""
TOGETHER: Final = 3
"""Linked targets from which the images' spread is estimated; else it is what the atlas says."""
COMMON: Final = -2.5
"""Logarithm of :attr:`Spread.common` where the search begins: the atlas of a dozen people."""
STARTS: Final = np.linspace(-3, 6, 19)
"""Log-odds of the greatest 1 − α where the search begins."""


@dataclass(frozen=True, eq=False)
class Solution:
    """What the joint system says.

    Attributes:
        alpha: float [n] in (0, 1), each target's mixing weight; [n, K] where every view has its own.
        reference: int [n, K], as in :class:`Shared`.
        weights: float [n + p, n·K]; times the rows they are the images: n targets, then p references.
        residual: share of the rows' energy that the images do not explain, 0 to 1.
        linked: bool [n], whether a target shares references with another one.
    """

    alpha: Floats
    reference: Ints
    weights: Floats
    residual: float
    linked: NDArray[np.bool_]


def design(alpha: Floats, reference: Ints) -> Floats:
    """The weights [n·K, n + p] with which targets and references are in each row; alpha is [n] or [n, K]."""
    n, views = reference.shape
    alpha = np.broadcast_to(alpha.reshape(n, -1), (n, views)).ravel()
    out = np.zeros((n * views, n + int(reference.max()) + 1))
    row = np.arange(n * views)
    out[row, np.repeat(np.arange(n), views)] = alpha
    out[row, n + reference.ravel()] += 1 - alpha
    return out


@dataclass(frozen=True)
class Spread:
    """How images differ from the atlas, as a share of what the atlas says.

    Attributes:
        own: variance of each image on its own, about 1.
        common: variance of what all have in common, times ``own``: the atlas is the mean of a few people only.
        reference: variance of a reference, times ``own``: the mean of k people varies by 1 / k.
    """

    own: float = 1.0
    common: float = 0.0
    reference: float = 1.0

    def root(self, targets: int, mixed: int) -> Floats:
        """A square root [images, images] of the images' covariance, ``own`` left out."""
        variance = np.r_[np.ones(targets), np.full(mixed, self.reference)]
        return np.asarray(np.linalg.cholesky(np.diag(variance) + self.common), dtype=np.float64)


def log_likelihood(
    gram: Floats, system: Floats, targets: int, voxels: int, spread: Spread, own: float | None
) -> tuple[float, float]:
    """Of rows that are a system times Gaussian images, within what the system can make.

    Args:
        gram: rows times their transpose [R, R].
        system: [R, images].
        targets: how many of the images are targets; they come first.
        voxels: in a row.
        spread: of the images; its ``own`` is not used.
        own: as in :class:`Spread`; None takes the likeliest.

    Returns:
        The logarithm, and ``own``.
    """
    mixed = system @ spread.root(targets, system.shape[1] - targets)
    left, values, _ = np.linalg.svd(mixed, full_matrices=False)
    kept = values > RANK * values[0]
    energy = float(((left[:, kept].T @ gram) * left[:, kept].T).sum(axis=1) @ values[kept] ** -2.0)
    freedom = voxels * int(kept.sum())
    own = energy / freedom if own is None else own
    return -0.5 * (2 * voxels * float(np.log(values[kept]).sum()) + freedom * np.log(own) + energy / own), own


def _likeliest(
    gram: Floats, scale: Floats, numbers: Ints, voxels: int, spread: Spread, told: bool
) -> tuple[float, Spread]:
    """The greatest 1 − α of linked targets, and how images spread where that is not told."""

    def likelihood(values: Sequence[float]) -> tuple[float, Spread]:
        assumed = spread if told else replace(spread, common=float(np.exp(values[1])))
        system = design(1 - float(special.expit(values[0])) * scale, numbers)
        value, own = log_likelihood(gram, system, len(scale), voxels, assumed, assumed.own if told else None)
        return value / voxels, replace(assumed, own=own)

    start = max((likelihood((value, COMMON))[0], value) for value in STARTS)[1]
    found = optimize.minimize(
        lambda values: -likelihood(values)[0], [start] if told else [start, COMMON], method="Nelder-Mead",
        options={"xatol": 1e-5, "fatol": 1e-9, "maxiter": 400},
    )  # fmt: skip
    return float(special.expit(found.x[0])), likelihood(found.x)[1]


def solve(rows: Floats, rng: np.random.Generator, references: int = 1) -> Solution:
    """Unmix all rows together.

    Args:
        rows: [n, K, T] with K of at least 2: K views of each of n targets, one mixing weight a target.
        rng: of the projections that directions are compared on.
        references: in one mixture; of several, each combination counts as a reference of its own.
    """
    n, views, voxels = rows.shape
    shared = share_references(rows, rng, references)
    flat = rows.reshape(n * views, voxels)
    gram = flat @ flat.T
    alpha, spread, told = np.empty(n), Spread(reference=1 / references), False
    for group in np.argsort(-np.bincount(shared.group), kind="stable"):
        members = np.flatnonzero(shared.group == group)
        told |= len(members) < TOGETHER
        scale = shared.scale[members] / shared.scale[members].max()
        numbers = np.unique(shared.reference[members], return_inverse=True)[1].reshape(len(members), views)
        index = (members[:, None] * views + np.arange(views)).ravel()
        greatest, spread = _likeliest(gram[np.ix_(index, index)], scale, numbers, voxels, spread, told)
        alpha[members], told = 1 - greatest * scale, True  # the largest group tells it best
    system = design(alpha, shared.reference)
    weights = unmixing(system, n, spread)
    residual = unexplained(gram, system, weights)
    linked = np.bincount(shared.group)[shared.group] > 1
    return Solution(alpha, shared.reference, weights, residual, linked)


def unmixing(system: Floats, targets: int, spread: Spread) -> Floats:
    """The weights [images, R] that make images of rows which are a system [R, images] times images."""
    root = spread.root(targets, system.shape[1] - targets)
    mixed = system @ root
    return np.asarray(root @ np.linalg.solve(mixed.T @ mixed + RIDGE * np.eye(mixed.shape[1]), mixed.T))


def unexplained(gram: Floats, system: Floats, weights: Floats) -> float:
    """Share of the rows' energy that the images do not explain."""
    left = np.eye(len(gram)) - system @ weights
    return float(((left @ gram) * left).sum() / max(float(np.trace(gram)), 1e-300))
