"""What attacks that re-identify by retrieval share: which scans are searched for, and where."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
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


def retrievals(
    names: Sequence[Retrieval], rungs: Iterable[Rung], fresh: bool = False, views: int = 1
) -> tuple[Protocol, ...]:
    """A protocol for each retrieval, of one view, with what the attack needs.

    With ``views`` also one of all of so many views, for those that are not drawn alike.
    """
    one = [Protocol(name, frozenset(rungs) | HELD[name], fresh=fresh) for name in names]
    if views == 1:
        return tuple(one)
    return *one, *(
        replace(p, name=f"{p.name} K={views}", knowledge=p.knowledge | {Rung.VIEWS}, views=views, unlike=True)
        for p in one
    )
