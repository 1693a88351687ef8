"""Taking known references out of mixtures: which are in it, how much of them, and what is left when they are gone.

References come from :mod:`privaudit.imaging.dictionary` (or, where they were cut anywhere, from
:mod:`privaudit.imaging.locating`); this module sets the mixing weights. Where a scheme uses one weight more than once,
all estimates of it become one, and an exact one where :mod:`privaudit.imaging.weighing` has it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.imaging.dictionary import CERTAIN, Dictionary, Pursuit, pursue
from privaudit.imaging.locating import Places
from privaudit.imaging.mixing import AlphaPer, combine, unmix
from privaudit.imaging.patches import cut
from privaudit.imaging.weighing import AGREED, weight_from_air, weight_from_differences

LEAST_ALPHA: Final = 0.005
"""Mixing weight below which nothing is divided by it."""
CLOSE: Final = 8
"""References, likeliest first, that are tried by what they leave in air."""
SPREAD: Final = 6.0
"""Standard errors by which an exact weight may differ from the likeliest one."""
ROOM: Final = 0.01
"""At least so much it may: people are not quite as orthogonal as the likelihood takes them for."""


@dataclass(frozen=True)
class Sharing:
    """What of a scheme's draws is shared by patches and views.

    Attributes:
        references: in one mixture.
        per_volume: whether all patches of a view have the same references.
        alpha_per: what has a mixing weight of its own.
        fresh: whether every view has.
    """

    references: int
    per_volume: bool
    alpha_per: AlphaPer
    fresh: bool

    def groups(self, views: int, patches: int) -> NDArray[np.int64]:
        """Numbers [views, patches] of the weight that each mixture has."""
        numbers = np.arange(views * patches, dtype=np.int64).reshape(views, patches)
        if self.alpha_per == "patch":
            return numbers if self.fresh else np.broadcast_to(numbers[:1], numbers.shape)
        first = numbers[:, :1] if self.fresh else numbers[:1, :1]
        return np.broadcast_to(first, numbers.shape)


@dataclass(frozen=True, eq=False)
class Explained:
    """What was found in V views of N patches.

    Attributes:
        found: bool [V, N], whether the references of a mixture are known.
        chosen: int64 [V, N, k], which of the pool they are; −1 where unknown.
        corners: int64 [V, N, k, 3], where they were cut.
        shares: float64 [V, N, k] of each among the references, adding up to 1.
        alpha: float64 [V, N], the target's weight; 1 where unknown.
        odds: float64 [V, N], log-odds of the references against somebody unknown.
    """

    found: NDArray[np.bool_]
    chosen: NDArray[np.int64]
    corners: NDArray[np.int64]
    shares: Tensor
    alpha: Tensor
    odds: Tensor

    def references(self, dictionary: Dictionary, view: int) -> Tensor:
        """The references of a view, combined, float32 [N, *patch]; 0 where unknown."""
        return torch.stack([self.reference(dictionary, view, n) for n in range(self.found.shape[1])])

    def reference(self, dictionary: Dictionary, view: int, patch: int) -> Tensor:
        """Those of one patch [*patch] of a view; 0 where unknown."""
        if not self.found[view, patch]:
            return torch.zeros(dictionary.size)
        which = zip(self.chosen[view, patch].tolist(), self.corners[view, patch], strict=True)
        pieces = torch.stack([dictionary.piece(index, corner) for index, corner in which])
        return combine(pieces, self.shares[view, patch].float())


def explain(views: Tensor, dictionary: Dictionary, sharing: Sharing, places: Places | None = None) -> Explained:
    """Find the references of every mixture, and the mixing weights.

    Args:
        views: float32 [V, N, *patch].
        dictionary: references, cut to the same patches.
        sharing: what the scheme draws once for several of them.
        places: where references are cut anywhere; only mixtures with one reference can be told then.
    """
    search = _Search(views, dictionary, sharing)
    for v in range(len(views)):
        if places is not None:
            search.anywhere(v, places)
        else:
            search.aligned(v)
    return search.weighed()


class _Search:
    """What has been found so far: see :class:`Explained`."""

    def __init__(self, views: Tensor, dictionary: Dictionary, sharing: Sharing) -> None:
        self.views, self.dictionary, self.sharing = views, dictionary, sharing
        count, patches, k = views.shape[0], views.shape[1], sharing.references
        self.found = np.zeros((count, patches), dtype=np.bool_)
        self.chosen = np.full((count, patches, k), -1, dtype=np.int64)
        self.corners = np.broadcast_to(dictionary.positions[None, :, None], (count, patches, k, 3)).copy()
        self.weights = torch.zeros((count, patches, k), dtype=torch.float64)
        self.precision = torch.zeros((count, patches), dtype=torch.float64)
        self.odds = torch.zeros((count, patches), dtype=torch.float64)

    def anywhere(self, v: int, places: Places) -> None:
        """Look for the references of a view's patches in every place of the pool."""
        if self.sharing.references > 1:
            return
        means = cut(self.dictionary.centre, self.dictionary.positions, self.dictionary.size)
        for n, (patch, mean) in enumerate(zip(self.views[v], means, strict=True)):
            index, corner, odds = places.find(patch, mean)
            self.odds[v, n] = odds
            if odds >= CERTAIN:
                weight = self.dictionary.weigh(patch, self.dictionary.piece(index, corner), n)
                self.chosen[v, n, 0], self.corners[v, n, 0] = index, corner
                self.found[v, n], self.weights[v, n, 0], self.precision[v, n] = True, *weight

    def aligned(self, v: int) -> None:
        """Look for the references of a view at the patches' own places."""
        sharing, patches = self.sharing, list(range(self.views.shape[1]))
        energy, cross = self.dictionary.products(self.views[v])
        for unit in [patches] if sharing.per_volume else [[n] for n in patches]:
            parts = [unit] if sharing.alpha_per != "patch" else [[n] for n in unit]
            pursuit = pursue([self.dictionary.group(energy, cross, part) for part in parts], sharing.references)
            if not pursuit.chosen and sharing.references == 1 and len(parts) == 1:
                pursuit = self._by_air(v, unit, pursuit)
            self.odds[v, unit] = pursuit.odds
            if pursuit.chosen:
                self.found[v, unit], self.chosen[v, unit] = True, pursuit.chosen
                self.weights[v, unit], self.precision[v, unit] = pursuit.weights, pursuit.precision / len(parts[0])

    def _by_air(self, v: int, unit: list[int], otherwise: Pursuit) -> Pursuit:
        """The reference of some patches of a view by what it leaves where the target is air."""
        best, corners = otherwise, self.dictionary.positions
        for index in otherwise.likeliest[:CLOSE]:
            pairs = [(self.views[v, n], self.dictionary.piece(index, corners[n])) for n in unit]
            weight, odds = weight_from_air(pairs)
            odds -= math.log(len(self.dictionary))
            if odds >= CERTAIN and odds > best.odds:
                certain = torch.tensor([1 / AGREED**2], dtype=torch.float64)
                best = Pursuit((index,), torch.tensor([[weight]], dtype=torch.float64), certain, odds, ())
        return best

    def weighed(self) -> Explained:
        """All of it, with weights that agree wherever the scheme has only one, and exact ones where they can be had."""
        total, k = self.weights.sum(dim=-1), self.sharing.references
        own = torch.where(total[..., None] > 0, self.weights / total[..., None].clamp_min(1e-12), 1 / k)
        alpha, shares = torch.where(torch.from_numpy(self.found), 1 - total, 1.0), own.clone()
        groups = self.sharing.groups(*self.found.shape)
        for number in np.unique(groups):
            where = np.argwhere((groups == number) & self.found)
            if not len(where):
                continue
            index = tuple(torch.from_numpy(where.T.copy()))
            trust = self.precision[index].clamp_min(1e-12)
            beta = float((total[index] * trust).sum() / trust.sum())
            error = max(ROOM, SPREAD / float(trust.sum().sqrt()))
            # Equal shares are exact, where a scheme has them; of one reference there are no others.
            for guess in (torch.full_like(own, 1 / k), own)[: min(k, 2)]:
                exact = self._exact(where, guess, beta - error, beta + error)
                if exact is not None:
                    beta, shares[index] = exact, guess[index]
                    break
            alpha[index] = max(LEAST_ALPHA, 1 - beta)
        return Explained(self.found, self.chosen, self.corners, shares, alpha, self.odds)

    def _exact(self, where: NDArray[np.int64], shares: Tensor, low: float, high: float) -> float | None:
        """The references' weight in mixtures [.., 2] (view, patch) that have one, from air or from differences."""
        whole = Explained(self.found, self.chosen, self.corners, shares, torch.empty(0), self.odds)
        pairs = {(v, n): (self.views[v, n], whole.reference(self.dictionary, v, n)) for v, n in where.tolist()}
        weight, odds = weight_from_air(list(pairs.values()), low, high)
        if odds >= CERTAIN:
            return weight
        if shares.shape[-1] > 1:  # shares are no more than likely
            return None
        by_patch = [[pair for (_, n), pair in pairs.items() if n == patch] for patch in np.unique(where[:, 1])]
        return weight_from_differences(by_patch)


def subtract(views: Tensor, dictionary: Dictionary, explained: Explained) -> Tensor:
    """The target [N, *patch] of the views [V, N, *patch] whose references are known; 0 where none are.

    Views are weighted by α²: what errs in a view is divided by α.
    """
    total, trust = torch.zeros(views.shape[1:], dtype=torch.float64), torch.zeros(views.shape[1]).double()
    for v, view in enumerate(views):
        alpha = explained.alpha[v].clamp_min(LEAST_ALPHA)
        clean = unmix(view[None], explained.references(dictionary, v)[None], alpha[None])[0]
        weight = torch.from_numpy(explained.found[v]) * alpha**2
        total, trust = total + weight.reshape(-1, 1, 1, 1) * clean, trust + weight
    return (total / trust.clamp_min(1e-12).reshape(-1, 1, 1, 1)).float()
