"""Which levels and window an MS-SSIM uses: pinned by name, so that a report can state them.

Scales, weights and constants follow Wang, Simoncelli & Bovik, "Multiscale structural similarity for image quality
assessment" (Asilomar 2003); sigma, the valid convolution and the padded pooling follow pytorch-msssim.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from privaudit.errors import OptionError

STANDARD_WEIGHTS: Final = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""The published exponents, finest level first. They sum to 1.0001 and are used as they stand at five levels."""


@dataclass(frozen=True)
class Profile:
    """The choices that make a 3-D MS-SSIM a number that can be compared.

    Attributes:
        name: what a report calls this profile.
        levels: how many scales, 1 to 5; each is half as fine as the one before.
        window: taps of the Gaussian per axis, in voxels; odd, at least 3.
        sigma: standard deviation of the Gaussian, in voxels of its level.
        k1: stabiliser of the luminance term, as a fraction of ``data_range``.
        k2: stabiliser of the contrast-structure term, as a fraction of ``data_range``.
        data_range: the largest intensity; images lie in [0, data_range].

    Raises:
        OptionError: a field is out of range.
    """

    name: str
    levels: int
    window: int
    sigma: float = 1.5
    k1: float = 0.01
    k2: float = 0.03
    data_range: float = 1.0

    def __post_init__(self) -> None:
        if not 1 <= self.levels <= len(STANDARD_WEIGHTS):
            raise OptionError(f"profile {self.name!r}: levels", got=self.levels, allowed="1 to 5")
        if self.window < 3 or self.window % 2 == 0:
            raise OptionError(f"profile {self.name!r}: window", got=self.window, allowed="odd numbers from 3")
        for field in ("sigma", "k1", "k2", "data_range"):
            value = getattr(self, field)
            if not 0 < value < float("inf"):
                raise OptionError(f"profile {self.name!r}: {field}", got=value, allowed="finite numbers above 0")

    @property
    def weights(self) -> tuple[float, ...]:
        """One exponent per level, finest first; fewer than five are renormalised to sum to 1."""
        first = STANDARD_WEIGHTS[: self.levels]
        return first if self.levels == len(STANDARD_WEIGHTS) else tuple(w / sum(first) for w in first)

    @property
    def c1(self) -> float:
        """Stabiliser of the luminance term, in intensity squared."""
        return (self.k1 * self.data_range) ** 2

    @property
    def c2(self) -> float:
        """Stabiliser of the contrast-structure term, in intensity squared."""
        return (self.k2 * self.data_range) ** 2

    @property
    def smallest_side(self) -> int:
        """The shortest side, in voxels, that fits."""
        return self.window << (self.levels - 1)

    def fits(self, shape: Sequence[int]) -> bool:
        """Whether every axis of a 3-D ``shape`` still holds one window at the coarsest level."""
        return len(shape) == 3 and min(shape) >= self.smallest_side

    def require(self, shape: Sequence[int]) -> None:
        """Raise ``OptionError`` unless a volume of ``shape`` fits."""
        if not self.fits(shape):
            raise OptionError(
                f"MS-SSIM profile {self.name!r} does not fit the volume",
                got=f"shape {tuple(shape)}",
                allowed=f"three sides of at least {self.smallest_side} voxels",
                todo="use privaudit.msssim.profile_for(shape)",
            )

    def level_shapes(self, shape: Sequence[int]) -> list[tuple[int, int, int]]:
        """The shape of each level's image, finest first; an odd side is rounded up, as the padded pooling does."""
        shapes = [(shape[0], shape[1], shape[2])]
        while len(shapes) < self.levels:
            x, y, z = shapes[-1]
            shapes.append(((x + 1) // 2, (y + 1) // 2, (z + 1) // 2))
        return shapes

    def describe(self) -> str:
        """One line for a report.

        >>> PROFILES["patch32"].describe()
        'MS-SSIM patch32: 3 levels, window 7, sigma 1.5, weights 0.0711 0.4530 0.4760, K 0.01 0.03, range 1'
        """
        weights = " ".join(f"{w:.4f}" for w in self.weights)
        return (
            f"MS-SSIM {self.name}: {self.levels} levels, window {self.window}, sigma {self.sigma:g}, "
            f"weights {weights}, K {self.k1:g} {self.k2:g}, range {self.data_range:g}"
        )


PROFILES: Final = {
    profile.name: profile
    for profile in (
        Profile("volume", levels=5, window=9),
        Profile("volume-small", levels=4, window=9),
        Profile("patch64", levels=4, window=7),
        Profile("patch32", levels=3, window=7),
    )
}
"""The named profiles, in the order in which ``profile_for`` tries them."""


def profile_for(shape: Sequence[int]) -> Profile:
    """Return the first of ``volume``, ``volume-small``, ``patch64`` and ``patch32`` that fits a 3-D ``shape``.

    >>> profile_for((144, 192, 160)).name, profile_for((72, 96, 80)).name, profile_for((32, 32, 32)).name
    ('volume', 'volume-small', 'patch32')

    Raises:
        OptionError: a side is below 28 voxels, or the shape is not 3-D.
    """
    for profile in PROFILES.values():
        if profile.fits(shape):
            return profile
    raise OptionError(
        "no MS-SSIM profile fits the volume",
        got=f"shape {tuple(shape)}",
        allowed="three sides of at least 28 voxels",
        todo="pad or resample the volume, or build a privaudit.msssim.Profile with fewer levels",
    )
