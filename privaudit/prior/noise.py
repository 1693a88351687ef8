"""Noise levels, from the largest to the smallest, in units of intensity."""

from __future__ import annotations

import math

from scipy.special import ndtr

OVERLAP = 0.5
"""C of NCSNv2's technique 2: how much of one level's shell the next one covers."""


def geometric(largest: float, smallest: float, count: int) -> list[float]:
    """Noise levels in geometric progression (Song & Ermon, 2019); ten from 1 to 0.01 are the published setting.

    >>> [round(level, 3) for level in geometric(1.0, 0.01, 3)]
    [1.0, 0.1, 0.01]
    """
    if count == 1:
        return [smallest]
    return [largest * (smallest / largest) ** (i / (count - 1)) for i in range(count)]


def overlap_ratio(dimension: int, overlap: float = OVERLAP) -> float:
    """Ratio γ of neighbouring levels under which shells of noise overlap by ``overlap`` (NCSNv2, technique 2).

    Solves ``Φ(√(2D)(γ − 1) + 3γ) − Φ(√(2D)(γ − 1) − 3γ) = C`` (Song & Ermon, 2020).

    Args:
        dimension: D, the number of voxels in a patch.
        overlap: C in (0, 1).
    """
    root = math.sqrt(2 * dimension)

    from scipy.optimize import brentq  # a second to import

    def gap(gamma: float) -> float:
        shift = root * (gamma - 1)
        return float(ndtr(shift + 3 * gamma) - ndtr(shift - 3 * gamma)) - overlap

    return float(brentq(gap, 1.0, 2.0 + 10 / root))


def ncsnv2(largest: float, smallest: float, dimension: int, overlap: float = OVERLAP) -> list[float]:
    """Levels close enough for patches of ``dimension`` voxels: some 390 from 1 to 0.01 at 32 cubed.

    ``largest`` should be near the largest distance between training patches (technique 1).
    """
    steps = math.log(largest / smallest) / math.log(overlap_ratio(dimension, overlap))
    return geometric(largest, smallest, max(2, math.ceil(steps) + 1))


def edm(largest: float, smallest: float, count: int, rho: float = 7.0) -> list[float]:
    """Levels of Karras et al. (2022, equation 5): dense where noise is small."""
    if count == 1:
        return [largest]
    ends = largest ** (1 / rho), smallest ** (1 / rho)
    return [(ends[0] + i / (count - 1) * (ends[1] - ends[0])) ** rho for i in range(count)]
