"""How likely labels of mixed sources are, given mixed maps: every combination of labels, with fit and prior.

Given shares ``sᵢ``, the sources have one of ``Cᵐ`` combinations of labels in a voxel. Each says what the map should be,
and how frequent its labels are in a population says what it is worth beforehand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from privaudit.imaging.map_shares import NEAR

EXACT: Final = 0.0003
"""Standard deviation of an error-free server's values around sums of shares."""
ERRS: Final = 0.1
"""Share of voxels in which a soft map may say anything, whatever the labels are."""
SURE: Final = 0.99
"""A voxel tells nothing about shares where a label is as likely as this beforehand, and in what came back."""
BUDGET: Final = 2**22
"""Numbers that are held for the combinations of labels of some voxels."""


@dataclass(frozen=True, eq=False)
class Voxels:
    """Voxels [P] of a patch or of several: what came back [V, P, C], and log-priors [P, C] of target and reference."""

    seen: Tensor
    target: Tensor
    reference: Tensor

    def thin(self, most: int) -> Voxels:
        """At most so many voxels that tell something about shares, evenly picked."""
        doubtful = (self.target.exp().amax(dim=1) < SURE) | (self.seen.amax(dim=2) < SURE).any(dim=0)
        index = doubtful.nonzero()[:, 0]
        index = index[:: max(1, len(index) // most)][:most] if len(index) else torch.arange(min(1, len(doubtful)))
        return Voxels(self.seen[:, index], self.target[index], self.reference[index])


def joined(voxels: list[Voxels]) -> Voxels:
    """Those of several patches."""
    return Voxels(
        torch.cat([some.seen for some in voxels], dim=1),
        torch.cat([some.target for some in voxels]),
        torch.cat([some.reference for some in voxels]),
    )


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
            scores = scores + prior.reshape(
                len(prior), *(-1 if axis == source else 1 for axis in range(scores.ndim - 1))
            )
    return scores


def evidence_of(seen: Tensor, shares: Tensor, which: int, prior: Tensor, noise: float) -> Tensor:
    """Log-likelihood [P, C] of one view, were the target's label each of them, and its share number ``which``."""
    scores = _with_priors(_scores(seen, shares, prior, noise)[0], prior, which)
    others = [axis + 1 for axis in range(len(shares)) if axis != which]
    found = scores.logsumexp(dim=others) if others else scores
    if noise == EXACT:
        return found
    # A network errs in one view and not in the next: no view alone may rule a label out.
    return torch.logaddexp(found, found.logsumexp(dim=1, keepdim=True) + float(np.log(ERRS / found.shape[1])))


@dataclass(frozen=True)
class Order:
    """Which share is the target's in each view, how likely that is, and by how much more than another (in nats)."""

    places: list[int]
    likelihood: float
    lead: float


def find_order(voxels: Voxels, shares: Tensor, noise: float, same: bool) -> Order:
    """Which share is the target's in each view; those of the first view are all tried.

    Args:
        voxels: some, of all views.
        shares: [V, m], the same in all these voxels.
        noise: standard deviation.
        same: whether the target has the same place among the shares of every view.
    """
    present = [[n for n, share in enumerate(view.tolist()) if share > NEAR] for view in shares]
    evidence = [
        {n: evidence_of(seen, row, n, voxels.reference, noise) for n in there}
        for seen, row, there in zip(voxels.seen, shares, present, strict=True)
    ]
    tried: list[Order] = []
    for first in present[0]:
        places, total = [first], voxels.target + evidence[0][first]
        for view in evidence[1:]:
            sums = {n: total + view[n] for n in view if n == first or not same}
            places.append(max(sums, key=lambda n: float(sums[n].logsumexp(dim=1).sum())))
            total = sums[places[-1]]
        tried.append(Order(places, float(total.logsumexp(dim=1).sum()), np.inf))
    best = max(tried, key=lambda order: order.likelihood)
    # Where two shares are equal it makes no difference which is the target's.
    rivals = [o for o in tried if abs(float(shares[0, o.places[0]] - shares[0, best.places[0]])) > NEAR]
    lead = best.likelihood - max((o.likelihood for o in rivals), default=-np.inf)
    return Order(best.places, best.likelihood, lead)


def posterior(voxels: Voxels, shares: Tensor, order: list[int], noise: float) -> tuple[Tensor, Tensor | None]:
    """Probability of the target's labels [P, C], and expected map of what the first view mixes with it, if anything.

    Where every view of an error-free server names one label, that is everybody's.
    """
    if noise == EXACT:
        doubtful = (voxels.seen.amax(dim=2) < 1 - NEAR).any(dim=0)
        target, reference = voxels.seen[0].round(), voxels.seen[0].round()
        if bool(doubtful.any()):
            # Squares of so small differences need float64.
            some = Voxels(voxels.seen[:, doubtful].double(), voxels.target[doubtful], voxels.reference[doubtful])
            left, right = _weighed(some, shares, order, noise)
            target[doubtful], reference[doubtful] = left.float(), left.float() if right is None else right.float()
        return target, reference if shares.shape[1] > 1 else None
    return _weighed(voxels, shares, order, noise)


def _weighed(voxels: Voxels, shares: Tensor, order: list[int], noise: float) -> tuple[Tensor, Tensor | None]:
    """The same of voxels about which the views leave a doubt."""
    parts = max(1, BUDGET // voxels.target.shape[1] ** shares.shape[1])
    targets, references = [], []
    for start in range(0, len(voxels.target), parts):
        some = slice(start, start + parts)
        prior, others = voxels.target[some], voxels.reference[some]
        total = prior
        for seen, row, which in zip(voxels.seen[1:, some], shares[1:], order[1:], strict=True):
            total = total + evidence_of(seen, row, which, others, noise)
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
