"""What attacks that re-identify by retrieval share: which scans are searched for, and where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, Literal

from pydantic import Field

from privaudit.contracts.attack import Protocol
from privaudit.contracts.knowledge import Rung
from privaudit.contracts.options import PluginOptions

Retrieval = Literal["encoded", "raw-gallery"]
HELD: Final[dict[Retrieval, frozenset[Rung]]] = {"encoded": frozenset(), "raw-gallery": frozenset({Rung.GALLERY})}
"""What is held for each beside what the attack itself needs."""


class RetrievalOptions(PluginOptions):
    """Which retrieval."""

    protocols: list[Retrieval] = Field(
        default=["encoded", "raw-gallery"],
        min_length=1,
        description="encoded: among other encoded scans (the paper's); raw-gallery: in earlier raw scans",
    )


def retrievals(names: Sequence[Retrieval], rungs: Iterable[Rung], fresh: bool = False) -> tuple[Protocol, ...]:
    """A protocol for each retrieval, of one view, with what the attack needs."""
    return tuple(Protocol(name, frozenset(rungs) | HELD[name], fresh=fresh) for name in names)
