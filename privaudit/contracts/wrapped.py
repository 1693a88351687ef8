"""A scheme with something around it: the base of planted leaks, and of whatever undoes what a scheme sends."""

from __future__ import annotations

import random
from collections.abc import Sequence

from torch import Tensor

from privaudit.contracts.cohort import Volume
from privaudit.contracts.defense import Defense, Key
from privaudit.contracts.trained import Trained
from privaudit.imaging.mixing import Draw
from privaudit.imaging.patches import Shape


class Wrapped(Defense):
    """A scheme with something around it: keys and weights are the scheme's own.

    Args:
        scheme: what is inside.
    """

    def __init__(self, scheme: Defense) -> None:
        super().__init__(scheme.options)
        self.inner = scheme

    @property
    def params(self) -> dict[str, object]:
        """Those of the scheme, with its name; what is around it adds its own, which make it another scheme."""
        return {"scheme": self.inner.name, **self.inner.params}

    @property
    def answers(self) -> bool:
        """As the scheme."""
        return self.inner.answers

    @property
    def fresh(self) -> bool:
        """As the scheme."""
        return self.inner.fresh

    @property
    def alike(self) -> bool:
        """As the scheme's."""
        return self.inner.alike

    def as_image(self, sent: Tensor, shape: Shape) -> Tensor | None:
        """As the scheme's."""
        return self.inner.as_image(sent, shape)

    @property
    def trained(self) -> Trained | None:
        """As the scheme's."""
        return self.inner.trained

    def draw_key(self, shape: Shape, pool: Sequence[Volume], rng: random.Random) -> Key:
        """As the scheme's."""
        return self.inner.draw_key(shape, pool, rng)

    @property
    def spends_references(self) -> bool:
        """As the scheme."""
        return self.inner.spends_references

    def share_of_pool(self, request: int, requests: int, pool: int) -> Sequence[int]:
        """As the scheme's."""
        return self.inner.share_of_pool(request, requests, pool)

    def drawn(self, key: Key) -> Draw | None:
        """As the scheme's."""
        return self.inner.drawn(key)

    @property
    def alpha_range(self) -> tuple[float, float] | None:
        """As the scheme's."""
        return self.inner.alpha_range

    def spent(self, key: Key) -> tuple[int, ...]:
        """As the scheme's."""
        return self.inner.spent(key)
