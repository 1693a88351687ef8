"""Vectors of scans by which people may be recognised: normal forms, pictures, and what no move of voxels changes."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from privaudit.imaging.atlas import Atlas
from privaudit.imaging.forms import FIRST, Chain
from privaudit.learning.inversion import Inverter
from privaudit.learning.own_people import coarse
from privaudit.learning.values import singular_values

QUANTILES: Final = 64
"""Grey values in order that stand for a whole scan, whatever the places of its voxels."""
THINNED: Final = 7
"""Every so many voxels are sorted, or the next number that shares no factor with theirs: no plane is left out."""
FREQUENCIES: Final = 10
"""Lowest spatial frequencies along each axis whose modulus is looked at: no shift changes it."""

TINY: Final = 1e-3
"""Added to singular values: below it they are rounding."""


@dataclass(frozen=True)
class Feature:
    """A vector of a scan.

    Attributes:
        name: in words.
        sent: of an encoding [X, Y, Z].
        raw: of a raw scan [X, Y, Z].
    """

    name: str
    sent: Callable[[Tensor], Tensor]
    raw: Callable[[Tensor], Tensor]


def features_of(chains: Sequence[Chain], best: Chain, inverter: Inverter, atlas: Atlas) -> list[Feature]:
    """What scans are compared by: normal forms, the de-encoder's picture, and what no move of voxels changes."""

    def formed(chain: Chain) -> Callable[[Tensor], Tensor]:
        return lambda scan: coarse(chain(scan, atlas)).flatten()

    def same(name: str, of: Callable[[Tensor], Tensor]) -> Feature:
        return Feature(name, of, of)

    found = [same(str(chain), formed(chain)) for chain in chains]
    if inverter.weights.any():
        found.append(
            Feature(
                "de-encoded", lambda scan: coarse(inverter.invert(best(scan, atlas))).flatten(),
                lambda scan: coarse(scan).flatten(),
            )
        )  # fmt: skip
    found += [same(f"grey values in order, {name}", _ordered(name, atlas)) for name in FIRST]
    return [*found, same("spectrum", _spectrum), same("singular values along each axis", _singular)]


def _ordered(first: str, atlas: Atlas) -> Callable[[Tensor], Tensor]:
    def of(scan: Tensor) -> Tensor:
        step = next(step for step in itertools.count(THINNED) if math.gcd(step, scan.numel()) == 1)
        values = FIRST[first](scan, atlas).flatten()[::step].sort().values
        return values[torch.linspace(0, len(values) - 1, QUANTILES).round().long()]

    return of


def _singular(scan: Tensor) -> Tensor:
    """Logarithms, so that small ones, which tell people apart, count."""
    return torch.cat([torch.log(values + TINY) for values in singular_values(scan[None])], dim=1)[0]


def _spectrum(scan: Tensor) -> Tensor:
    modulus = torch.fft.rfftn(scan - scan.mean()).abs()
    x, y, z = (min(FREQUENCIES, 1 + side // 2) for side in scan.shape)
    low = [range(-x + 1, x), range(-y + 1, y), range(z)]
    return torch.log1p(modulus[np.ix_(*low)]).flatten()
