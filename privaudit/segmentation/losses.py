"""What training minimises: cross-entropy plus soft Dice, on the mixed map and on the unmixed one."""

from __future__ import annotations

from monai.losses.dice import DiceCELoss
from torch import Tensor

from privaudit.segmentation.sampling import Batch


class SystemLoss:
    """Sum of the losses of both maps, end to end as in the paper, the unmixed one weighted.

    Dice is taken over the batch's foreground: a patch without a structure must not count as a failure.
    """

    def __init__(self, unmixed_weight: float = 1.0) -> None:
        self._loss = DiceCELoss(include_background=False, softmax=True, batch=True)
        self._weight = unmixed_weight

    def of_map(self, logits: Tensor, truth: Tensor) -> Tensor:
        """Loss of one map [B, C, X, Y, Z]; soft targets are allowed."""
        loss: Tensor = self._loss(logits.float(), truth)
        return loss

    def __call__(self, mixed_logits: Tensor, unmixed_logits: Tensor | None, batch: Batch) -> Tensor:
        """Return the scalar loss; soft targets are allowed."""
        loss = self.of_map(mixed_logits, batch.mixed_map)
        if unmixed_logits is not None:
            loss = loss + self._weight * self.of_map(unmixed_logits, batch.target_map)
        return loss
