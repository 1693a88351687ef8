"""What the scene asks of trained networks, wherever they run."""

from __future__ import annotations

from typing import Protocol

from torch import Tensor

from privaudit.contracts.defense import Defense, Key


class Answering(Protocol):
    """Trained networks of the scheme; :class:`privaudit.auditing.serving.Service`."""

    digest: str

    def respond(self, sent: Tensor) -> Tensor:
        """Maps [V, N, C, *patch] of views [V, N, *patch]."""

    def decode(self, answers: Tensor, defense: Defense, key: Key) -> Tensor:
        """What the client makes of them, [C, X, Y, Z]."""
