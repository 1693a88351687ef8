"""Where in known images a mixed-in patch was cut: normalised cross-correlation, computed by Fourier transforms.

Lewis, "Fast normalized cross-correlation" (1995): the correlation of a patch with every place of an image is one
product of spectra, and the image's energy under the patch another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.imaging.dictionary import CERTAIN, high_pass, independent_voxels
from privaudit.imaging.patches import Shape

EMPTY: Final = 0.05
"""Share of an image's largest energy under a patch from which a place is looked at: there is nothing in air."""


class Places:
    """The high-passed spectra of images, in which patches are looked for.

    Only what tells an image from the mean one is looked at: everybody has a fold where the target has it, too.

    Args:
        images: float32 [X, Y, Z] each.
        centre: the mean image [X, Y, Z].
        size: of the patches, in voxels.
    """

    def __init__(self, images: Sequence[Tensor], centre: Tensor, size: Shape) -> None:
        x, y, z = images[0].shape
        self.shape, self.size = (x, y, z), size
        self.valid = tuple(slice(0, side - patch + 1) for side, patch in zip(self.shape, size, strict=True))
        everywhere = torch.ones(self.shape, dtype=torch.bool)
        details = [high_pass((image - centre)[None], everywhere).reshape(self.shape) for image in images]
        self._spectra = [torch.fft.rfftn(detail) for detail in details]
        window = torch.fft.rfftn(torch.ones(size), s=self.shape).conj()
        self._energy = [self._back(torch.fft.rfftn(detail.square()) * window) for detail in details]

    def _back(self, spectrum: Tensor) -> Tensor:
        back: Tensor = torch.fft.irfftn(spectrum, s=self.shape)
        return back[self.valid]

    def find(self, patch: Tensor, expected: Tensor) -> tuple[int, NDArray[np.int64], float]:
        """Where a patch [*patch] is most like an image.

        Args:
            patch: a mixture.
            expected: the mean image at the target's place [*patch]; what the mixture has of it is taken off.

        Returns:
            Which image, the corner int64 [3], and log-odds against the best place in any other image. Anatomy is more
            often alike than chance is: they count in full only from twice what another image reaches by that.
        """
        inside = torch.ones(self.size, dtype=torch.bool)
        detail, mean = (high_pass(one[None], inside).reshape(self.size) for one in (patch, expected))
        detail = detail - float((detail * mean).sum() / mean.square().sum().clamp_min(1e-9)) * mean
        spectrum = torch.fft.rfftn(detail, s=self.shape).conj()
        norm = max(float(detail.square().sum().sqrt()), 1e-9)
        best, second = (0, np.zeros(3, dtype=np.int64), float("-inf")), 0.0
        for number, (image, energy) in enumerate(zip(self._spectra, self._energy, strict=True)):
            there = energy > EMPTY * energy.max()
            likeness = self._back(image * spectrum) / energy.clamp_min(1e-9).sqrt() / norm
            values = likeness[there]
            peak = float(values.max().clamp(0, 1 - 1e-6))
            voxels = independent_voxels(values, patch.numel())
            tried = len(self._spectra) * values.numel()
            odds = -0.5 * voxels * float(np.log1p(-(peak**2))) - float(np.log(tried))
            second = max(second, min(odds, best[2]))
            if odds > best[2]:
                flat = int(torch.where(there, likeness, torch.full_like(likeness, -1.0)).argmax())
                best = number, np.array(np.unravel_index(flat, tuple(likeness.shape)), dtype=np.int64), odds
        lead = best[2] - second
        return best[0], best[1], min(lead, CERTAIN * lead / max(second, 1.0))
