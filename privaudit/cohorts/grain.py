"""What is noise in a scan, and other noise of the same kind.

A copy of a scan carries the scan's noise, which no second scan of the person would share: it is as good as a name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from privaudit.cohorts.fields import Floats

BOX_MM: Final = 3.0
"""Half the side of the box that a voxel is compared with."""
QUIET: Final = 0.1
"""Share of the inner voxels, those whose surroundings vary least, that the noise is measured in."""
INSIDE_MM: Final = 6.0
"""How far from the brain's border inner voxels lie, where there are such."""
TISSUE: Final = 3.5
"""A box whose standard deviation is below so many of the noise's is one tissue."""
BLURS: Final = np.linspace(0.1, 2, 191)
"""Standard deviations in voxels of the Gaussian kernels that noise is told by; the least leaves it white."""


@dataclass(frozen=True)
class Grain:
    """Noise: its standard deviation, and that of the Gaussian which makes neighbours alike, in voxels of each axis."""

    level: float
    blur: tuple[float, float, float]

    def draw(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
        """Draw noise of this kind, ``[X, Y, Z]``."""
        white = rng.standard_normal(shape, dtype=np.float32)
        field = ndimage.gaussian_filter(white, self.blur, mode="wrap")
        return np.asarray(field * np.float32(self.level / max(float(field.std()), 1e-12)))


def without_grain(image: Floats, voxel_mm: float) -> tuple[Floats, Grain]:
    """Take the noise out of a scan ``[X, Y, Z]`` that is 0 outside the brain, and say what it was like.

    A voxel becomes the mean of its box where the box varies so little that it is one tissue, and stays as it is where
    the variance is more than twice that, as at edges; in between it moves part of the way. So noise at edges stays.
    Where the noise is more than about a tenth of the contrast between tissues (in the calibration's brains it is a
    fifteenth), edges are not told from it any longer, and are blurred too.

    The noise is measured where the scan is most even, by the median absolute differences of neighbours and of next
    neighbours, before and after: what was taken out is put down to a Gaussian of a level and a width. That is the noise
    in the white matter of real brains; where nothing but noise varies, the most even places have up to a fifth less.
    """
    inside = image > 0
    if not inside.any():
        return image, Grain(0.0, (0.0, 0.0, 0.0))
    size = 2 * max(1, round(BOX_MM / voxel_mm)) + 1
    mean = ndimage.uniform_filter(image, size)
    variance = np.maximum(ndimage.uniform_filter(image**2, size) - mean**2, 0)
    inner = ndimage.binary_erosion(inside, iterations=max(1, round(INSIDE_MM / voxel_mm)))
    inner = inner if inner.any() else inside
    quiet = inner & (variance <= np.quantile(variance[inner], QUIET))
    before = _differences(image, quiet)
    even = (TISSUE * _grain(before).level) ** 2
    kept = np.clip(variance / max(even, 1e-12) - 1, 0, 1)
    smooth = np.where(inside, mean + kept * (image - mean), 0).astype(np.float32)
    return smooth, _grain(np.maximum(before - _differences(smooth, quiet), 0))


def _differences(image: Floats, where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Variance of the differences of voxels one and two apart along each axis ``[3, 2]``, from their median size."""
    out = np.zeros((3, 2))
    for axis in range(3):
        x, w = np.moveaxis(image, axis, 0), np.moveaxis(where, axis, 0)
        for apart in (1, 2):
            found = (x[apart:] - x[:-apart])[w[apart:] & w[:-apart]]
            if found.size:
                out[axis, apart - 1] = (1.4826 * float(np.median(np.abs(found - np.median(found))))) ** 2
    return out


def _grain(differences: NDArray[np.float64]) -> Grain:
    """The noise with these variances of differences ``[3, 2]``: of neighbours 2 v (1 - r₁), of next ones 2 v (1 - r₂).

    White noise that a Gaussian blurred has correlations r₁ and r₂ that only the Gaussian's width decides.
    """
    one, two = differences.T
    near, far = np.array([_correlations(blur) for blur in BLURS]).T
    ratios = (1 - far) / (1 - near)
    blur = np.interp(two / np.maximum(one, 1e-12), ratios, BLURS)
    variance = one / (2 * (1 - np.interp(blur, BLURS, near)))
    x, y, z = blur.tolist()
    return Grain(float(np.sqrt(np.median(variance))), (x, y, z))


def _correlations(blur: float) -> tuple[float, float]:
    """Correlation of voxels one and two apart in blurred white noise."""
    kernel = ndimage.gaussian_filter1d(np.eye(1, 41, 20)[0], blur, mode="constant")
    products = np.correlate(kernel, kernel, "full")[40:43]
    return float(products[1] / products[0]), float(products[2] / products[0])
