"""Validation of a training on patches of held-out people."""

from __future__ import annotations

import torch
from torch import Tensor

from privaudit.imaging.mixing import unmix
from privaudit.segmentation.sampling import Batch


def guesses(mixed: Tensor, unmixed: Tensor | None, batch: Batch) -> dict[str, Tensor]:
    """Every method's most likely class [B, X, Y, Z]."""
    if unmixed is None or batch.reference_map is None or batch.alpha is None:
        return {"plain": mixed.argmax(1)}
    naive = unmix(mixed.softmax(1)[None], batch.reference_map[None], batch.alpha[None])[0]
    return {"naive": naive.argmax(1), "learned": unmixed.argmax(1)}


def overlaps(guess: Tensor, truth: Tensor) -> Tensor:
    """Per class: voxels in both, voxels in either counted with multiplicity [C, 2]."""
    hot = torch.nn.functional.one_hot(guess, truth.shape[1]).movedim(-1, 1).to(truth)
    axes = (0, 2, 3, 4)
    return torch.stack([(hot * truth).sum(axes), hot.sum(axes) + truth.sum(axes)], dim=1)


def mean_dice(found: Tensor) -> float | None:
    """Mean Dice over the foreground classes that occur; None if none does."""
    dice = [2 * float(both) / float(either) for both, either in found[1:] if either > 0]
    return sum(dice) / len(dice) if dice else None
