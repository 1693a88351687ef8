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
from privaudit.imaging.cubes import to_blocks
from privaudit.imaging.forms import FIRST, Chain
from privaudit.imaging.smoothing import box
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
"""Added to singular values: below it they are rounding. Share of the greatest spread below which a cube is flat."""
CUBE: Final = 8
"""Side of cubes in voxels."""
FLAT: Final = 1e-9
"""Spread below which a cube is constant, whatever the others are."""
CUBES_SHOWN: Final = 40
"""Cubes in order that stand for all of them."""


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
    found += [same("spectrum", _spectrum), same("singular values along each axis", _singular)]
    return [*found, same("shapes of cubes in order", _cubes), same("last bits", _last_bits)]


def _ordered(first: str, atlas: Atlas) -> Callable[[Tensor], Tensor]:
    def of(scan: Tensor) -> Tensor:
        step = next(step for step in itertools.count(THINNED) if math.gcd(step, scan.numel()) == 1)
        values = FIRST[first](scan, atlas).flatten()[::step].sort().values
        return values[torch.linspace(0, len(values) - 1, QUANTILES).round().long()]

    return of


def _singular(scan: Tensor) -> Tensor:
    """Logarithms, so that small ones, which tell people apart, count."""
    return torch.cat([torch.log(values + TINY) for values in singular_values(scan[None])], dim=1)[0]


def _cubes(scan: Tensor) -> Tensor:
    """Skewness, without its sign, kurtosis and roughness of each cube's grey values, in order over the cubes.

    Where cubes lie, how they are turned, and a gain, sign and offset of each are nothing to it.
    """
    cubes = to_blocks(scan, CUBE).double()
    apart = cubes - cubes.mean(dim=1, keepdim=True)
    spread = apart.square().mean(dim=1).sqrt()
    uneven = spread > max(TINY * float(spread.max()) if len(spread) else 0.0, FLAT)
    apart = apart[uneven] / spread[uneven, None]
    inside = apart.reshape(-1, CUBE, CUBE, CUBE)
    steps = sum(inside.diff(dim=axis).square().flatten(1).mean(dim=1) for axis in (1, 2, 3))
    moments = [apart.pow(3).mean(dim=1).abs(), apart.pow(4).mean(dim=1), torch.as_tensor(steps)]
    shares = torch.linspace(0, 1, CUBES_SHOWN, dtype=torch.float64)
    shown = [torch.quantile(m, shares) if len(m) else torch.zeros(CUBES_SHOWN, dtype=m.dtype) for m in moments]
    return torch.log1p(torch.cat(shown)).float()


def _last_bits(scan: Tensor) -> Tensor:
    """How often the last of 24 binary digits is set around each voxel: added in float32, noise may not fill it."""
    return coarse(box((scan.double() * 2**24).floor().remainder(2).float(), 1)).flatten()


def _spectrum(scan: Tensor) -> Tensor:
    modulus = torch.fft.rfftn(scan - scan.mean()).abs()
    x, y, z = (min(FREQUENCIES, 1 + side // 2) for side in scan.shape)
    low = [range(-x + 1, x), range(-y + 1, y), range(z)]
    return torch.log1p(modulus[np.ix_(*low)]).flatten()
