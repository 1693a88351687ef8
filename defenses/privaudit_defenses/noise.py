"""White Gaussian noise on the image.

The oldest protection there is, and long known to be weak: what many voxels share is told from noise that they do not
(Kargupta, Datta, Wang and Sivakumar, IEEE ICDM 2003).
"""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from privaudit.contracts.options import PluginOptions
from privaudit.contracts.seeded import SeededDefense, SeedKey


class NoiseOptions(PluginOptions):
    """How much."""

    deviation: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=0.3, description="standard deviation of the noise; intensities lie in [0, 1]"
    )


class NoiseDefense(SeededDefense):
    """Fresh noise for every scan."""

    name = "noise"
    summary = "fresh Gaussian noise on the image"
    Options = NoiseOptions
    options: NoiseOptions

    def hide(self, image: Tensor, key: SeedKey) -> Tensor:
        """Add the noise; values are not clipped."""
        return image + self.options.deviation * torch.randn(image.shape, generator=key.generator())
