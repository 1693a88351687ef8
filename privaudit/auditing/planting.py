"""Planted leaks: what a positive control adds to what is sent."""

from __future__ import annotations

from torch import Tensor

from privaudit.scoring.arms import PLANTED_SHARE


def plant(encoded: Tensor, raw: Tensor) -> Tensor:
    """Blend a leak into encoded patches: mostly raw content, the encoding scaled down where it is the louder one."""
    loud = float(encoded.std()) / max(float(raw.std()), 1e-6)
    return (1 - PLANTED_SHARE) * encoded / max(1.0, loud) + PLANTED_SHARE * raw
