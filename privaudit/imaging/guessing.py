"""The best single guess at an image, by somebody who holds images of others, or of everybody, and does not look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.imaging.patches import TISSUE, Shape, cut, grid_positions
from privaudit.msssim.pairs import ms_ssim
from privaudit.msssim.profile import profile_for

USUAL: Final = 5
"""People most like the mean of all who are tried as a guess: somebody unusual is nobody's best guess."""
BRAIN_SHARE: Final = 0.25
"""Share of tissue from which a patch is looked at, as pictures are scored."""


def best_guess(images: Sequence[Tensor], side: int | None, among: bool) -> Tensor:
    """The mean of some images, or one of them: whichever is most like all of them on average, by MS-SSIM.

    Args:
        images: float32 [X, Y, Z] each, in [0, 1], at least one.
        side: of the patches that are compared, in voxels; None for whole volumes, as where no patch of 32 fits.
        among: whether what is guessed is one of these images, so that a guess may be right; else it is somebody else's,
            and nobody is compared with an image of his own.

    Returns:
        Image [X, Y, Z].

    Raises:
        OptionError: the images are too small for MS-SSIM.
    """
    mean = torch.stack(list(images)).mean(dim=0)
    if len(images) < 2:
        return mean
    distance = [float((image - mean).square().sum()) for image in images]
    usual = np.argsort(distance, kind="stable")[:USUAL].tolist()
    patches = _patches(mean, side)
    best, guess = -1.0, mean
    for candidate in (None, *usual):
        likeness = []
        for number, image in enumerate(images):
            if candidate is not None:
                if number == candidate and not among:
                    continue
                guessed = images[candidate]
            else:  # of the others alone, where it is none of these
                guessed = mean if among else (len(images) * mean - image) / (len(images) - 1)
            likeness.append(_likeness(guessed, image, patches))
        if float(np.mean(likeness)) > best:
            best, guess = float(np.mean(likeness)), mean if candidate is None else images[candidate]
    return guess


def _likeness(one: Tensor, other: Tensor, patches: tuple[NDArray[np.int64], Shape]) -> float:
    x, y = (cut(image.clamp(0, 1), *patches) for image in (one, other))
    return float(ms_ssim(x, y, profile_for(patches[1])).mean())


def _patches(mean: Tensor, side: int | None) -> tuple[NDArray[np.int64], Shape]:
    """Corners and size of what is compared: patches of 32 or 64 with enough tissue, or the whole."""
    shape: Shape = (mean.shape[0], mean.shape[1], mean.shape[2])
    scored = 64 if (side or 0) >= 64 and min(shape) >= 64 else 32
    if side is None or min(shape) < scored:
        return np.zeros((1, 3), dtype=np.int64), shape
    size: Shape = (scored,) * 3
    positions = grid_positions(shape, size, size)
    share = (cut(mean, positions, size) > TISSUE).flatten(1).float().mean(dim=1).numpy()
    return positions[share >= min(BRAIN_SHARE, float(share.max()))], size
