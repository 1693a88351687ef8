"""The pool of an audit's references, and which of it may be mixed into which request."""

from __future__ import annotations

import random
from collections.abc import Sequence

from privaudit.auditing.key_secret import KeySeeds
from privaudit.auditing.volumes import LazyVolumes
from privaudit.contracts.cohort import Cohort
from privaudit.contracts.defense import Defense


class References:
    """One scan of each person in the pool.

    Args:
        cohort: whose scans they are.
        people: of the pool.
        defense: what is audited; it says whether each request has a part of the pool to itself.
        seeds: of the audit's secrets.
        requests: by name, in their order.

    Raises:
        OptionError: the pool is too small for the scheme.
    """

    def __init__(
        self, cohort: Cohort, people: Sequence[str], defense: Defense, seeds: KeySeeds, requests: Sequence[str]
    ) -> None:
        self.pool = LazyVolumes(cohort, [cohort.sessions_of(person)[0] for person in people])
        self._defense, self._number = defense, {request: number for number, request in enumerate(requests)}
        defense.share_of_pool(0, len(requests), len(self.pool))
        # Like keys: which part is a request's follows neither from its name nor from the seed alone.
        drawn = random.Random(seeds.of("share")) if defense.spends_references else None
        self._order = range(len(self.pool)) if drawn is None else drawn.sample(range(len(self.pool)), len(self.pool))

    def share(self, request: str) -> list[int]:
        """Indices into the pool of what may be mixed into a request."""
        share = self._defense.share_of_pool(self._number[request], len(self._number), len(self.pool))
        return [self._order[index] for index in share]

    def of(self, request: str) -> LazyVolumes:
        """The scans themselves."""
        return self.pool.part(self.share(request)) if self._defense.spends_references else self.pool
