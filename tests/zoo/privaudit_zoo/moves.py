"""Broken: the image as it is, moved by a fresh secret."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import torch
from pydantic import Field
from scipy import ndimage
from scipy.spatial.transform import Rotation
from torch import Tensor

from privaudit.contracts.options import PluginOptions
from privaudit_zoo.base import ZooDefense, ZooKey


class RigidOptions(PluginOptions):
    """How far."""

    degrees: Annotated[float, Field(gt=0, le=180)] = Field(default=20.0, description="greatest angle, about any axis")
    voxels: Annotated[float, Field(ge=0)] = Field(default=4.0, description="greatest translation along each axis")


class RigidDefense(ZooDefense):
    """A fresh secret rotation about the middle and a translation; linear interpolation, 0 from beyond the border.

    Broken: registration undoes it. Jenkinson and Smith, "A global optimisation method for robust affine registration of
    brain images", Medical Image Analysis 2001.
    """

    name = "zoo-rigid"
    summary = "zoo, broken: a fresh secret rotation and translation"
    Options = RigidOptions
    options: RigidOptions

    def hide(self, image: Tensor, key: ZooKey) -> Tensor:
        """Move the image; what leaves the volume is lost."""
        generator = key.generator()
        axis = torch.randn(3, generator=generator, dtype=torch.float64).numpy()
        angle, *shift = (2 * torch.rand(4, generator=generator, dtype=torch.float64) - 1).tolist()
        turn = Rotation.from_rotvec(np.radians(self.options.degrees) * angle * axis / np.linalg.norm(axis)).as_matrix()
        middle = (np.array(image.shape) - 1) / 2
        offset = middle - turn @ middle + self.options.voxels * np.array(shift)
        return torch.from_numpy(ndimage.affine_transform(image.numpy(), turn, offset, order=1))


class RollDefense(ZooDefense):
    """A fresh secret cyclic translation by any number of voxels along each axis.

    Broken: phase correlation finds it (Kuglin and Hines, "The phase correlation image alignment method", IEEE
    Cybernetics and Society 1975), and the magnitude of the spectrum does not change.
    """

    name = "zoo-roll"
    summary = "zoo, broken: a fresh secret cyclic translation"

    def hide(self, image: Tensor, key: ZooKey) -> Tensor:
        """Roll the image."""
        generator = key.generator()
        shifts = [int(torch.randint(side, (1,), generator=generator)) for side in image.shape]
        return torch.roll(image, shifts, dims=(0, 1, 2))


class TurnsDefense(ZooDefense):
    """Fresh secret mirroring of axes, and exchange of those of equal length.

    Broken: there are at most 48 keys, and whoever tries them all has the image (Kerckhoffs, "La cryptographie
    militaire", 1883).
    """

    name = "zoo-turns"
    summary = "zoo, broken: axes mirrored and exchanged by a fresh secret"

    def hide(self, image: Tensor, key: ZooKey) -> Tensor:
        """Exchange and mirror axes; the shape is kept."""
        generator = key.generator()
        order = torch.randperm(3, generator=generator).tolist()
        while [image.shape[axis] for axis in order] != list(image.shape):
            order = torch.randperm(3, generator=generator).tolist()
        mirrored = torch.nonzero(torch.rand(3, generator=generator) < 0.5).flatten().tolist()
        return image.permute(order).flip(mirrored)
