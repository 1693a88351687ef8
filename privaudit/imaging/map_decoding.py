"""Label maps out of mixed label maps: what a server computes tells it whom it computes for.

What comes back of a mixture is ``Σ sᵢ·[label of source i]`` at each voxel. The shares follow from the values
(:mod:`privaudit.imaging.map_shares`), or, where a network's maps are soft, from a likelihood. Given shares, a voxel's
sources have one of ``Cᵐ`` combinations of labels, each with its fit and, from the frequencies of labels in a population,
its prior. Several views of one target have the target in common, and nothing else: that tells which share is the target's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.imaging.label_prior import LabelPrior
from privaudit.imaging.map_shares import NEAR, shares_of
from privaudit.imaging.patches import Shape, cut, stitch

EXACT: Final = 0.0003
"""Standard deviation of a perfect server's values around sums of shares."""
NOISE: Final = (0.05, 0.1, 0.2, 0.4, 0.7)
"""Standard deviations of soft maps that are tried."""
ERRS: Final = 0.1
"""Share of voxels in which a soft map may say anything, whatever the labels are."""
SURE: Final = 0.99
"""A voxel tells nothing about shares where a label is as likely as this beforehand, and in what came back."""
THIN: Final = (256, 2048, 16_384)
"""Voxels that shares and their order are found on: at least, at most, and of all groups of patches together."""
BUDGET: Final = 2**22
"""Numbers that are held for the combinations of labels of some voxels."""
GRID: Final = torch.arange(0.02, 1.0, 0.02)
"""Candidate shares of the target in soft maps."""


class Mixed(Protocol):
    """What must be known of how maps are mixed; :class:`privaudit.contracts.scheme.Mixing` says it."""

    @property
    def references(self) -> int:
        """How many others are in one mixture."""

    @property
    def aligned(self) -> bool:
        """Whether they are cut at the target's place."""

    @property
    def pooled(self) -> bool:
        """Whether all patches of a view share one mixing weight."""

    @property
    def fresh(self) -> bool:
        """Whether every view has mixing weights of its own."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """What mixed maps decode to.

    Attributes:
        target: probability of each label [C, X, Y, Z], of the target if ``ordered``, else of the stronger source.
        reference: of what is mixed with it in the first view, expected shares of labels [C, X, Y, Z]; None if nothing.
        alpha: float64 [V, N], share of the target in each patch of each view.
        exact: whether the values were those of a perfect server.
        ordered: whether it is known which source is the target.
    """

    target: Tensor
    reference: Tensor | None
    alpha: Tensor
    exact: bool
    ordered: bool


@dataclass(frozen=True, eq=False)
class _Voxels:
    """Voxels [P] of a patch or of several: what came back [V, P, C], and log-priors [P, C] of target and reference."""

    seen: Tensor
    target: Tensor
    reference: Tensor

    def thin(self, most: int) -> _Voxels:
        """At most so many voxels that tell something about shares, evenly picked."""
        doubtful = (self.target.exp().amax(dim=1) < SURE) | (self.seen.amax(dim=2) < SURE).any(dim=0)
        index = doubtful.nonzero()[:, 0]
        index = index[:: max(1, len(index) // most)][:most] if len(index) else torch.arange(min(1, len(doubtful)))
        return _Voxels(self.seen[:, index], self.target[index], self.reference[index])


def _scores(seen: Tensor, shares: Tensor, prior: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """Log-probability of every combination of labels [P, C, …, C], without the priors, and expected maps [Cᵐ, C, m].

    Args:
        seen: one view [P, C].
        shares: of the sources [m].
        prior: for its number of classes [P, C].
        noise: standard deviation.
    """
    classes, sources = prior.shape[1], len(shares)
    labels = torch.cartesian_prod(*[torch.arange(classes)] * sources).reshape(-1, sources)
    parts = torch.nn.functional.one_hot(labels, classes).to(seen).movedim(1, 2) * shares.to(seen)
    means = parts.sum(dim=2)
    squares = seen.square().sum(dim=1, keepdim=True) - 2 * seen @ means.T + means.square().sum(dim=1)
    fit = -0.5 * squares.clamp_min(0) / noise**2 - (classes - 1) * float(np.log(noise))
    return fit.reshape(len(seen), *(classes,) * sources), parts


def _with_priors(scores: Tensor, prior: Tensor, without: int) -> Tensor:
    """Add the priors of all sources but one to scores [P, C, …, C]."""
    for source in range(scores.ndim - 1):
        if source != without:
            scores = scores + prior.reshape(len(prior), *(-1 if axis == source else 1 for axis in range(scores.ndim - 1)))
    return scores


def _evidence(seen: Tensor, shares: Tensor, which: int, prior: Tensor, noise: float) -> Tensor:
    """Log-likelihood [P, C] of one view, were the target's label each of them, and its share number ``which``."""
    scores = _with_priors(_scores(seen, shares, prior, noise)[0], prior, which)
    others = [axis + 1 for axis in range(len(shares)) if axis != which]
    found = scores.logsumexp(dim=others) if others else scores
    if noise == EXACT:
        return found
    # A network errs in one view and not in the next: no view alone may rule a label out.
    return torch.logaddexp(found, found.logsumexp(dim=1, keepdim=True) + float(np.log(ERRS / found.shape[1])))


def _find_order(voxels: _Voxels, shares: Tensor, noise: float, same: bool) -> tuple[list[int], float]:
    """Which share is the target's in each view, and the log-likelihood; the first view's are all tried.

    Args:
        voxels: some, of all views.
        shares: [V, m], the same in all these voxels.
        noise: standard deviation.
        same: whether the target has the same place among the shares of every view.
    """
    present = [[n for n, share in enumerate(view.tolist()) if share > NEAR] for view in shares]
    evidence = [
        {n: _evidence(seen, row, n, voxels.reference, noise) for n in there}
        for seen, row, there in zip(voxels.seen, shares, present, strict=True)
    ]
    best: tuple[list[int], float] = ([0] * len(shares), -np.inf)
    for first in present[0]:
        order, total = [first], voxels.target + evidence[0][first]
        for view in evidence[1:]:
            tried = {n: total + view[n] for n in view if n == first or not same}
            chosen = max(tried, key=lambda n: float(tried[n].logsumexp(dim=1).sum()))
            order.append(chosen)
            total = tried[chosen]
        likelihood = float(total.logsumexp(dim=1).sum())
        if likelihood > best[1] + 1e-3:
            best = order, likelihood
    return best


def _lone_share(shares: Tensor) -> int | None:
    """Which share [m] is unlike all others, which are equal: several references of equal weight; None without."""
    for which in range(len(shares)):
        rest = torch.cat([shares[:which], shares[which + 1 :]])
        if float(rest.max() - rest.min()) <= NEAR < float((shares[which] - rest).abs().min()):
            return which
    return None


def _joined(voxels: list[_Voxels]) -> _Voxels:
    """Those of several patches."""
    return _Voxels(
        torch.cat([some.seen for some in voxels], dim=1),
        torch.cat([some.target for some in voxels]),
        torch.cat([some.reference for some in voxels]),
    )


def _soft_shares(voxels: _Voxels, references: int, fresh: bool) -> tuple[Tensor, float]:
    """Likeliest shares [V, 1 + references], the target's first, and noise; references are taken to be equal.

    From one view a share and the rest are equally likely; the target is then taken to be the stronger part.
    """

    def shares_with(alpha: float) -> Tensor:
        return torch.tensor([alpha, *[(1 - alpha) / references] * references])

    def likelihood(some: _Voxels, alpha: float, noise: float) -> float:
        total = some.target
        for seen in some.seen:
            total = total + _evidence(seen, shares_with(alpha), 0, some.reference, noise)
        return float(total.logsumexp(dim=1).sum())

    def best(some: _Voxels, grid: Tensor, noises: tuple[float, ...]) -> tuple[float, float]:
        tried = [(alpha, noise) for noise in noises for alpha in grid.tolist()]
        return max(tried, key=lambda pair: likelihood(some, *pair))

    views = len(voxels.seen)
    apart = fresh and views > 1
    ambiguous = (views == 1 or apart) and references == 1
    grid = GRID[GRID >= 0.5 - 1e-6] if ambiguous else GRID
    groups = [voxels]
    if apart:
        groups = [_Voxels(seen[None], voxels.target, voxels.reference) for seen in voxels.seen]
    found = []
    noise = best(groups[0], grid[::4], NOISE)[1]
    for group in groups:
        alpha, _ = best(group, grid, (noise,))
        near = torch.arange(-3, 4) * 0.005 + alpha
        alpha, _ = best(group, near[(near > 0) & (near < 1)], (noise,))
        found.append(shares_with(alpha))
    return torch.stack(found if apart else found * views), noise


def _posterior(voxels: _Voxels, shares: Tensor, order: list[int], noise: float) -> tuple[Tensor, Tensor | None]:
    """Probability of the target's labels [P, C], and expected map of what the first view mixes with it, if anything.

    Where every view of a perfect server names one label, that is everybody's.
    """
    if noise == EXACT:
        doubtful = (voxels.seen.amax(dim=2) < 1 - NEAR).any(dim=0)
        target, reference = voxels.seen[0].round(), voxels.seen[0].round()
        if bool(doubtful.any()):
            # Squares of so small differences need float64.
            some = _Voxels(voxels.seen[:, doubtful].double(), voxels.target[doubtful], voxels.reference[doubtful])
            left, right = _weighed(some, shares, order, noise)
            target[doubtful], reference[doubtful] = left.float(), left.float() if right is None else right.float()
        return target, reference if shares.shape[1] > 1 else None
    return _weighed(voxels, shares, order, noise)


def _weighed(voxels: _Voxels, shares: Tensor, order: list[int], noise: float) -> tuple[Tensor, Tensor | None]:
    """The same of voxels about which the views leave a doubt."""
    parts = max(1, BUDGET // voxels.target.shape[1] ** shares.shape[1])
    targets, references = [], []
    for start in range(0, len(voxels.target), parts):
        some = slice(start, start + parts)
        prior, others = voxels.target[some], voxels.reference[some]
        total = prior
        for seen, row, which in zip(voxels.seen[1:, some], shares[1:], order[1:], strict=True):
            total = total + _evidence(seen, row, which, others, noise)
        scores, means = _scores(voxels.seen[0, some], shares[0], prior, noise)
        joint = _with_priors(scores, others, order[0])
        joint = joint + total.reshape(len(total), *(-1 if n == order[0] else 1 for n in range(shares.shape[1])))
        weights = joint.flatten(1).softmax(dim=1)
        sources = [axis + 1 for axis in range(shares.shape[1]) if axis != order[0]]
        shaped = weights.reshape(joint.shape)
        targets.append(shaped.sum(dim=sources) if sources else shaped)
        rest = [n for n in range(shares.shape[1]) if n != order[0]]
        left = float(shares[0, rest].sum())
        references.append(weights @ means[:, :, rest].sum(dim=2) / left if left > NEAR else targets[-1])
    return torch.cat(targets), torch.cat(references) if shares.shape[1] > 1 else None


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
    classes, size = maps.shape[2], (maps.shape[3], maps.shape[4], maps.shape[5])
    frequencies = prior.with_classes(classes).frequencies[:classes]
    places = cut(frequencies, positions, size).flatten(2).movedim(1, 2).log()
    anywhere = frequencies.flatten(1).mean(dim=1).log()
    patches = [
        _Voxels(maps[:, n].flatten(2).movedim(1, 2), place, place if aligned else anywhere.expand_as(place))
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
        thin = _joined([patches[n].thin(most) for n in group]).thin(most)
        if shares is not None:
            row, noise = shares[:, group[0]], EXACT
            thin = _Voxels(thin.seen.double(), thin.target, thin.reference)
        elif references:
            row, noise = _soft_shares(thin, references, fresh)
        else:
            row = torch.ones((len(maps), 1))
            noise = max(NOISE, key=lambda n: _find_order(thin, row, n, same=True)[1])
        lone = _lone_share(row[0]) if references > 1 else None
        if len(maps) == 1 and references:
            order, ordered = [lone or 0], ordered and lone is not None
        else:
            order, _ = _find_order(thin, row, noise, same=not exact and not fresh)
        for n in group:
            target, reference = _posterior(patches[n], row, order, noise)
            targets[n] = target.T.reshape(classes, *size)
            others[n] = targets[n] if reference is None else reference.T.reshape(classes, *size)
            alpha[:, n] = torch.stack([view[which] for view, which in zip(row.double(), order, strict=True)])
    mixed = stitch(torch.stack(others), positions, shape) if references else None
    return Decoded(stitch(torch.stack(targets), positions, shape), mixed, alpha, exact, ordered)
