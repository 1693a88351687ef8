"""Joint unmixing of one view a scan: features, their covariance, and the images that the links give."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from privaudit.contracts.cohort import Volume
from privaudit.imaging.air_links import rim, share_by_air
from privaudit.imaging.atlas import Atlas
from privaudit.imaging.joint import COMMON, Solution, design
from privaudit.imaging.joint_links import Linked
from privaudit.imaging.joint_single import link
from privaudit.imaging.shared_references import Shared

Floats = NDArray[np.float64]

TISSUE: Final = 0.02
"""Mean brightness from which a voxel is looked at."""
FINE: Final = 1.0
"""Voxels: what a Gaussian of this standard deviation leaves out is compared; it hardly depends on other voxels."""
STEADY: Final = 0.3
"""Share of the mean spread that is added to every voxel's: a few people say little of one voxel."""
ALIKE: Final = 0.45
"""Correlation of the features of one person's two scans."""
ALIKE_IMAGES: Final = 0.8
"""Correlation of one person's two images, beyond the atlas."""
NOISE: Final = 1e-3
"""Variance of what a row holds beyond the model, as a share of an image's."""


def solve_one_view(
    sent: Sequence[Callable[[], Tensor]], people: Sequence[Volume], atlas: Atlas, digits: float | None,
    advance: Callable[[float], None],
) -> tuple[Solution, Shared | None]:  # fmt: skip
    """Find who shares a reference and who is one person, and the weights that unmix all scans.

    Air tells exactly who shares a reference; where there is none, likelihood says it as well as it can.

    Args:
        sent: reads the one view of each target [X, Y, Z], whole volumes of one mixing weight.
        people: the attacker's own, raw.
        atlas: of the same people.
        digits: relative precision of what was sent; None where air shall not be asked.
        advance: called with shares of the work, which add up to 1.

    Returns:
        The solution, and what air told; None where it tells nothing.
    """
    n = len(sent)
    mean = atlas.mean.numpy()
    inside = mean > TISSUE
    own = np.stack([_fine(volume.image, mean, inside) for volume in people])
    spread = own.std(axis=0) + STEADY * own.std()
    # The atlas holds a share of each of them: their distance to it is too short by that.
    count = len(people)
    unit = float(((own / spread) ** 2).mean()) * (1 + 1 / count) / (1 - 1 / count)
    edge, one, two = rim(np.stack([volume.image for volume in people]))
    rows = np.empty((n, int(inside.sum())), dtype=np.float32)
    edges = np.empty((n, int(edge.sum())), dtype=np.float32)
    for number, read in enumerate(sent):
        view = read().numpy()
        rows[number], edges[number] = _fine(view, mean, inside) / spread, view[edge]
        advance(0.3 / n)
    shared = None if digits is None else share_by_air(edges, one, two, digits)
    if n > 2:
        rows -= rows.mean(axis=0)  # what the atlas has wrong is in all of them
    covariance = (rows @ rows.T).astype(np.float64) / rows.shape[1] / unit
    return unmixed(link(covariance, ALIKE, shared, lambda share: advance(0.7 * share))), shared


def _fine(image: NDArray[np.float32], mean: NDArray[np.float32], inside: NDArray[np.bool_]) -> NDArray[np.float32]:
    beyond = image - mean
    return np.asarray((beyond - ndimage.gaussian_filter(beyond, FINE))[inside], dtype=np.float32)


def unmixed(linked: Linked) -> Solution:
    """The images' posterior mean under a Gaussian prior, in which one person's images are alike."""
    n = len(linked.alpha)
    reference = linked.reference[:, None]
    system = design(linked.alpha, reference)
    prior = np.eye(system.shape[1])
    people = np.where(np.equal.outer(linked.person, linked.person), ALIKE_IMAGES, 0.0)
    prior[:n, :n] = people + (1 - ALIKE_IMAGES) * np.eye(n)
    prior += np.exp(COMMON)  # what the atlas has wrong is in all of them
    weights = np.asarray(np.linalg.solve(system @ prior @ system.T + NOISE * np.eye(n), system @ prior).T, np.float64)
    sharing = np.bincount(linked.reference)[linked.reference] > 1
    return Solution(linked.alpha, reference, weights, 0.0, sharing)
