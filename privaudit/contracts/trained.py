"""What a contract sees of trained weights."""

from __future__ import annotations

from typing import Any, Protocol


class TrainedConfig(Protocol):
    """What weights say of themselves: marks of everybody they were trained on, and how the training went."""

    people: list[str]
    training: dict[str, Any]


class Trained(Protocol):
    """Trained weights of a scheme, as a contract sees them: name, hash of what was read, and config."""

    @property
    def name(self) -> str:
        """Of the weights."""

    @property
    def digest(self) -> str:
        """Hash of what was read, in hex."""

    @property
    def config(self) -> TrainedConfig:
        """Who was trained on, and how."""
