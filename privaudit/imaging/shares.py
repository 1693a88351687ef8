"""Mixing weights of several images."""

from __future__ import annotations

import random

from privaudit.errors import OptionError


def bounded_weights(count: int, greatest: float, rng: random.Random) -> list[float]:
    """Weights that add up to 1, uniform among those of which none is above a bound; the greatest first.

    Raises:
        OptionError: so few weights under that bound do not add up to 1.
    """
    if count * greatest <= 1:
        raise OptionError(f"{count} weights cannot add up to 1", got=f"{greatest} each at most", todo="raise the bound")
    while True:
        parts = [rng.gammavariate(1, 1) for _ in range(count)]
        weights = sorted((part / sum(parts) for part in parts), reverse=True)
        if weights[0] <= greatest:
            return weights
