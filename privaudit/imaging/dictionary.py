"""Which of some known images is in a mixture: a dictionary of references, searched by matching pursuit.

A view is ``m = α·x + Σ b_j·r_j`` with ``α + Σ b_j = 1``. Less the mean image and high-passed, what people share is
gone, and the unknown target is like noise that is orthogonal to everybody else. The references then show as regressors,
and the log-likelihood ratio of a regressor against none is ``n/2 · log(residual without / residual with)``, where n is
how many independent voxels there are, as told by how orthogonal the known people are to each other. Several references
are found one after the other (orthogonal matching pursuit: Pati, Rezaiifar & Krishnaprasad, Asilomar 1993).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.imaging.atlas import Atlas
from privaudit.imaging.patches import Shape, cut
from privaudit.imaging.smoothing import gaussian

SUPPORT: Final = 0.02
"""Intensity of the atlas from which a voxel belongs to the brain's support."""
BLUR: Final = 1.0
"""Standard deviation in voxels of the blur that the high-pass takes away."""
CERTAIN: Final = 10.0
"""Log-odds from which a reference counts as found: one in 22,000 that it is somebody unknown."""
FEW: Final = 4
"""References from which their own mean serves as the mean image; of fewer, the atlas does."""
CORRELATED: Final = 8
"""Neighbouring voxels that count as one where too few people are known to tell."""
SCALE: Final = 1.4826
"""From the median absolute deviation of a normal distribution to its standard deviation."""


def high_pass(patches: Tensor, support: Tensor) -> Tensor:
    """Patches [B, *patch] less their blur within the support, bool [*patch]: its T voxels, [B, T]."""
    inside = support.to(patches.dtype)
    weight = gaussian(inside[None], BLUR).clamp_min(1e-3)
    return (patches - gaussian(patches * inside, BLUR) / weight)[:, support]


def independent_voxels(correlations: Tensor, voxels: int) -> float:
    """How many independent voxels people differ in, from correlations [n] that chance alone has made.

    Robust: relatives, or two scans of one person, must not make everybody look alike.
    """
    if len(correlations) < 3:
        return voxels / CORRELATED
    spread = SCALE * float((correlations - correlations.median()).abs().median())
    return min(float(voxels), 1 / max(spread, 1e-6) ** 2)


@dataclass(frozen=True, eq=False)
class Group:
    """What is regressed on what in patches that have their weights in common.

    Attributes:
        energy: sum of squares of the mixture, high-passed, float64.
        cross: its products with the P references, float64 [P].
        gram: the references' products with each other, float64 [P, P].
        voxels: independent ones.
    """

    energy: float
    cross: Tensor
    gram: Tensor
    voxels: float


class Dictionary:
    """References as the attacker has them, cut to the patches of a scheme.

    Args:
        pool: reference images, float32 [X, Y, Z] each, at least one.
        atlas: of the attacker's sample.
        positions: int64 [N, 3], the patches' corners.
        size: of a patch, in voxels.
    """

    def __init__(self, pool: Sequence[Tensor], atlas: Atlas, positions: NDArray[np.int64], size: Shape) -> None:
        self.pool, self.positions, self.size = tuple(pool), positions, size
        # An outsider's difference to the mean of the pool is orthogonal to its people's, and regression unbiased. With
        # an atlas it would not be: everybody's difference to it contains the atlas's errors.
        self.centre: Tensor = torch.stack(self.pool).mean(dim=0) if len(pool) >= FEW else atlas.mean
        self.support = cut(atlas.mean, positions, size) > SUPPORT
        rows = [self._rows(cut(image - self.centre, positions, size)) for image in self.pool]
        self.details = [torch.stack(of_patch) for of_patch in zip(*rows, strict=True)]
        self.gram = torch.stack([d.double() @ d.double().T for d in self.details])

    def __len__(self) -> int:
        return len(self.pool)

    def _rows(self, patches: Tensor) -> list[Tensor]:
        return [high_pass(patch[None], inside)[0] for patch, inside in zip(patches, self.support, strict=True)]

    def piece(self, index: int, corner: NDArray[np.int64]) -> Tensor:
        """A reference's patch [*patch] at a corner."""
        return cut(self.pool[index], corner[None], self.size)[0]

    def products(self, view: Tensor) -> tuple[Tensor, Tensor]:
        """Of a view [N, *patch], high-passed: its energy, float64 [N], and products with references [N, P]."""
        rows = self._rows(view - cut(self.centre, self.positions, self.size))
        energy = torch.stack([row.double().square().sum() for row in rows])
        cross = torch.stack([d.double() @ row.double() for d, row in zip(self.details, rows, strict=True)])
        return energy, cross

    def weigh(self, patch: Tensor, reference: Tensor, number: int) -> tuple[float, float]:
        """The weight of a known reference [*patch] in a mixture [*patch], 0 to 1, and its precision, at a patch."""
        centre = cut(self.centre, self.positions[number : number + 1], self.size)[0]
        inside = self.support[number]
        mixed, other = (high_pass(one[None] - centre, inside)[0].double() for one in (patch, reference))
        group = Group(float(mixed @ mixed), (other @ mixed)[None], (other @ other)[None, None], float(inside.sum()))
        return float(_solve(group, [0])[0]), float(_precision(group, [0]))

    def group(self, energy: Tensor, cross: Tensor, patches: Sequence[int]) -> Group:
        """Patches taken together, as if they were one."""
        which = list(patches)
        gram = self.gram[which].sum(dim=0)
        size = gram.diagonal().clamp_min(1e-12).sqrt()
        rows, columns = torch.triu_indices(len(gram), len(gram), 1)
        voxels = sum(int(self.support[n].sum()) for n in which)
        apart = independent_voxels((gram / size / size[:, None])[rows, columns], voxels)
        return Group(float(energy[which].sum()), cross[which].sum(dim=0), gram, apart)


@dataclass(frozen=True, eq=False)
class Pursuit:
    """References found in a mixture.

    Attributes:
        chosen: indices [k], or none where what is known does not explain the mixture.
        weights: float64 [M, k], their shares in each of M groups, from 0 to 1.
        precision: float64 [M], one over the variance of their sum.
        odds: log-odds of the least certain one, against its being somebody unknown.
        likeliest: all references, the likeliest first one first.
    """

    chosen: tuple[int, ...]
    weights: Tensor
    precision: Tensor
    odds: float
    likeliest: tuple[int, ...]


def pursue(groups: Sequence[Group], references: int) -> Pursuit:
    """Find the references of a mixture whose groups of patches share them, one after the other.

    Args:
        groups: M groups, each with weights of its own.
        references: how many there are, from 1.
    """
    pool = len(groups[0].cross)
    chosen: list[int] = []
    likeliest: tuple[int, ...] = ()
    least = float("inf")
    for _ in range(min(references, pool)):
        score = torch.stack([_gain(group, chosen) for group in groups]).sum(dim=0)
        score[chosen] = 0.0
        likeliest = likeliest or tuple(score.argsort(descending=True).tolist())
        best = int(score.argmax())
        # Any of the pool might be it; each group's weight was fitted, as good as half a unit of noise, doubled.
        odds = float(score[best]) - math.log(pool) - len(groups)
        least = min(least, odds)
        if odds < CERTAIN:
            break
        chosen.append(best)
    if len(chosen) < references:
        return Pursuit((), torch.zeros((len(groups), 0)), torch.zeros(len(groups)), least, likeliest)
    weights = torch.stack([_solve(group, chosen) for group in groups])
    precision = torch.stack([_precision(group, chosen) for group in groups])
    return Pursuit(tuple(chosen), weights, precision, least, likeliest)


def _regress(group: Group, chosen: Sequence[int]) -> Tensor:
    """Least-squares weights [k] of the chosen references."""
    which = list(chosen)
    gram = group.gram[which][:, which] + 1e-9 * torch.eye(len(which), dtype=torch.float64)
    weights: Tensor = torch.linalg.solve(gram, group.cross[which])
    return weights


def _residual(group: Group, chosen: Sequence[int]) -> float:
    least = 1e-9 * group.energy + 1e-12
    return max(group.energy - float(_regress(group, chosen) @ group.cross[list(chosen)]), least)


def _gain(group: Group, chosen: Sequence[int]) -> Tensor:
    """Log-likelihood [P] that each reference adds to the chosen ones; 0 where its weight would be negative."""
    which = list(chosen)
    shared = group.gram[:, which]
    inverse = torch.linalg.pinv(group.gram[which][:, which], hermitian=True)
    cross = group.cross - shared @ inverse @ group.cross[which]
    own = group.gram.diagonal() - torch.einsum("pi,ij,pj->p", shared, inverse, shared)
    residual = _residual(group, chosen)
    explained = cross.clamp_min(0.0) ** 2 / own.clamp_min(1e-9)
    return -0.5 * group.voxels * torch.log1p(-(explained / residual).clamp_max(1 - 1e-9))


def _solve(group: Group, chosen: Sequence[int]) -> Tensor:
    """Weights within [0, 1], also their sum."""
    weights = _regress(group, chosen).clamp_min(0.0)
    return weights / weights.sum().clamp_min(1.0)


def _precision(group: Group, chosen: Sequence[int]) -> Tensor:
    which = list(chosen)
    scale = _residual(group, chosen) / max(group.voxels, 1e-9)
    return group.gram[which][:, which].diagonal().min() / scale
