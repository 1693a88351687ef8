"""The trivial attacker with a linear filter: the Wiener estimate from one view."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from privaudit.attack import Attack, Protocol, Task
from privaudit.claims import Reconstruction
from privaudit.knowledge import Knowledge, Rung
from privaudit.transcript import Transcript
from privaudit_attacks.average import AverageAttack


class WienerAttack(Attack):
    """Posterior mean under independent Gaussian voxels, mixing weight estimated: ``average`` with one view."""

    name = "wiener"
    summary = "trivial: the linear estimate from one view under the atlas's mean and variance"
    claim = "reconstruction"
    trivial = True

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """One, with one view and the atlas."""
        return (Protocol("default", frozenset({Rung.TRANSCRIPT, Rung.ATLAS})),)

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Reconstruction]:
        """Yield the estimate of target and reference for each request."""
        return AverageAttack().run(protocol, transcripts, knowledge, task)
