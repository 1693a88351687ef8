"""The base of trivial attackers who hold one thing and do not look at what was sent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from privaudit.contracts.attack import Attack, Protocol, Task
from privaudit.contracts.cohort import Volume
from privaudit.contracts.knowledge import Rung


class Blind(Attack):
    """What it claims is what anybody gets who does not look: the threshold of a leak."""

    trivial = True
    reads_transcript = False
    holds: ClassVar[Rung]
    """All that it has."""

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """One, with what it holds and nothing else."""
        return (Protocol("default", frozenset({self.holds})),)


def somebody(people: Sequence[Volume], task: Task, request: str) -> Volume:
    """A random one of some people, the same for a request whatever is asked before it."""
    return people[int(task.rng(request).integers(len(people)))]
