"""Label maps out of mixed label maps: what a server computes tells it whom it computes for.

What comes back of a mixture is ``Σ sᵢ·[label of source i]`` at each voxel. The shares follow from the values
(:mod:`privaudit.imaging.map_shares`), or, where a network's maps are soft, from a likelihood
(:mod:`privaudit.imaging.map_likelihood`). Several views of one target have the target in common, and nothing else: that
tells which share is the target's. From one view with a weight for each patch, it is told where patches meet
(:mod:`privaudit.imaging.seams`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.imaging.label_prior import LabelPrior
from privaudit.imaging.map_likelihood import EXACT, Voxels, evidence_of, find_order, joined, posterior
from privaudit.imaging.map_shares import NEAR, shares_of
from privaudit.imaging.mixing import Mixed
from privaudit.imaging.patches import Shape, cut, stitch
from privaudit.imaging.seams import find_order as across_seams

NOISE: Final = (0.05, 0.1, 0.2, 0.4, 0.7)
"""Standard deviations of soft maps that are tried."""
THIN: Final = (256, 2048, 16_384)
"""Voxels that shares and their order are found on: at least, at most, and of all groups of patches together."""
LEAD: Final = 3.0
"""Nats by which an order of the sources must be likelier than any other to be known."""
GRID: Final = torch.arange(0.02, 1.0, 0.02)
"""Candidate shares of the target in soft maps."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """What mixed maps decode to.

    Attributes:
        target: probability of each label [C, X, Y, Z], of the target if ``ordered``, else of the stronger source.
        reference: of what is mixed with it in the first view, expected shares of labels [C, X, Y, Z]; None if nothing.
        alpha: float64 [V, N], share of the target in each patch of each view.
        exact: whether the values were those of an error-free server.
        ordered: whether it is known which source is the target.
    """

    target: Tensor
    reference: Tensor | None
    alpha: Tensor
    exact: bool
    ordered: bool


def _lone_shares(shares: Tensor) -> list[int] | None:
    """In each view, which share of [V, m] is unlike all others, which are equal: references of equal weight.

    None where a view has no such share.
    """
    found = []
    for view in shares:
        lone = [
            which
            for which in range(len(view))
            if float(view.min()) > NEAR
            and (rest := view[[n for n in range(len(view)) if n != which]]).max() - rest.min() <= NEAR
            and float((view[which] - rest).abs().min()) > NEAR
        ]
        if len(lone) != 1:
            return None
        found += lone
    return found


def _soft_shares(voxels: Voxels, references: int, fresh: bool) -> tuple[Tensor, float]:
    """Likeliest shares [V, 1 + references], the target's first, and noise; references are taken to be equal.

    From one view a share and the rest are equally likely; the target is then taken to be the stronger part.
    """

    def shares_with(alpha: float) -> Tensor:
        return torch.tensor([alpha, *[(1 - alpha) / references] * references])

    def likelihood(some: Voxels, alpha: float, noise: float) -> float:
        total = some.target
        for seen in some.seen:
            total = total + evidence_of(seen, shares_with(alpha), 0, some.reference, noise)
        return float(total.logsumexp(dim=1).sum())

    def best(some: Voxels, grid: Tensor, noises: tuple[float, ...]) -> tuple[float, float]:
        tried = [(alpha, noise) for noise in noises for alpha in grid.tolist()]
        return max(tried, key=lambda pair: likelihood(some, *pair))

    views = len(voxels.seen)
    apart = fresh and views > 1
    ambiguous = (views == 1 or apart) and references == 1
    grid = GRID[GRID >= 0.5 - 1e-6] if ambiguous else GRID
    groups = [voxels]
    if apart:
        groups = [Voxels(seen[None], voxels.target, voxels.reference) for seen in voxels.seen]
    found = []
    noise = best(groups[0], grid[::4], NOISE)[1]
    for group in groups:
        alpha, _ = best(group, grid, (noise,))
        near = torch.arange(-3, 4) * 0.005 + alpha
        alpha, _ = best(group, near[(near > 0) & (near < 1)], (noise,))
        found.append(shares_with(alpha))
    return torch.stack(found if apart else found * views), noise


def decode_maps(
    maps: Tensor, positions: NDArray[np.int64], shape: Shape, prior: LabelPrior, mixing: Mixed | None
) -> Decoded:
    """Separate the label maps that are mixed in what a server returns.

    Args:
        maps: float32 [V, N, C, *patch], what came back of V views of one target.
        positions: int64 [N, 3], the patches' corners.
        shape: of the volume, in voxels.
        prior: label frequencies of a population.
        mixing: how others are mixed in; None where nobody is.
    """
    references = 0 if mixing is None else mixing.references
    aligned, pooled, fresh = (True, True, False) if mixing is None else (mixing.aligned, mixing.pooled, mixing.fresh)
    # A view that is sent again tells nothing: its reference is no other one.
    same = [next(i for i in range(n + 1) if torch.equal(maps[i], view)) for n, view in enumerate(maps)]
    kept = sorted(set(same))
    maps = maps[kept]
    classes, size = maps.shape[2], (maps.shape[3], maps.shape[4], maps.shape[5])
    frequencies = prior.with_classes(classes).frequencies[:classes]
    places = cut(frequencies, positions, size).flatten(2).movedim(1, 2).log()
    anywhere = frequencies.flatten(1).mean(dim=1).log()
    patches = [
        Voxels(maps[:, n].flatten(2).movedim(1, 2), place, place if aligned else anywhere.expand_as(place))
        for n, place in enumerate(places)
    ]
    shares = shares_of(maps, references + 1, pooled)
    exact = shares is not None
    joint = pooled and (shares is None or bool((shares - shares[:, :1]).abs().max() <= NEAR))
    groups = [list(range(len(patches)))] if joint else [[n] for n in range(len(patches))]
    least, most, together = THIN
    most = min(most, max(least, together // len(groups)))
    alpha = torch.zeros(maps.shape[:2], dtype=torch.float64)
    targets, others, ordered = [torch.empty(0)] * len(patches), [torch.empty(0)] * len(patches), True
    for group in groups:
        thin = joined([patches[n].thin(most) for n in group]).thin(most)
        if shares is not None:
            row, noise = shares[:, group[0]], EXACT
            thin = Voxels(thin.seen.double(), thin.target, thin.reference)
        elif references:
            row, noise = _soft_shares(thin, references, fresh)
        else:
            row = torch.ones((len(maps), 1))
            noise = max(NOISE, key=lambda n: find_order(thin, row, n, same=True).likelihood)
        order = _lone_shares(row) if references > 1 else None
        if order is None and len(maps) == 1 and references:
            order, ordered = [0], False
        elif order is None:
            found = find_order(thin, row, noise, same=not exact and not fresh)
            order, ordered = found.places, ordered and found.lead > LEAD
        for n in group:
            target, reference = posterior(patches[n], row, order, noise)
            targets[n] = target.T.reshape(classes, *size)
            others[n] = targets[n] if reference is None else reference.T.reshape(classes, *size)
            alpha[:, n] = torch.stack([view[which] for view, which in zip(row.double(), order, strict=True)])
    if len(maps) == 1 and references == 1 and len(groups) > 1:
        labels = [torch.stack(some).argmax(dim=1).numpy() for some in (targets, others)]
        turned = across_seams(labels[0], labels[1], positions)
        for n in np.flatnonzero(turned.swapped).tolist():
            targets[n], others[n], alpha[:, n] = others[n], targets[n], 1 - alpha[:, n]
        ordered = turned.known
    mixed = stitch(torch.stack(others), positions, shape) if references else None
    return Decoded(
        stitch(torch.stack(targets), positions, shape), mixed, alpha[[kept.index(n) for n in same]], exact, ordered
    )
