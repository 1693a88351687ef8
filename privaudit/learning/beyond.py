"""Pictures by what they have beyond the atlas: how people are told apart on pictures that attacks have recovered."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

from privaudit.imaging.atlas import Atlas
from privaudit.learning.own_people import coarse

TISSUE: Final = 0.02
"""Mean brightness from which a voxel is compared."""
STEADY: Final = 0.02
"""Added to the atlas's standard deviation: nobody is known better."""
MOST: Final = 4.0
"""Standard deviations at which a voxel's difference to the atlas is cut off."""


def beyond(image: Tensor, atlas: Atlas) -> Tensor:
    """What a picture [X, Y, Z] has beyond the atlas, in standard deviations, as a unit vector [voxels of tissue]."""
    inside = coarse(atlas.mean)[0, 0] > TISSUE
    spread = coarse(atlas.variance)[0, 0].sqrt() + STEADY
    part = (coarse(image - atlas.mean)[0, 0] / spread).clamp(-MOST, MOST)[inside]
    return torch.nn.functional.normalize(part, dim=0)
