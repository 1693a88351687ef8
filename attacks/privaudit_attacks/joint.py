"""Joint unmixing: what a server holds that receives many requests whose references come from one pool.

A client with p references serves n targets with K views each: all that is sent is Y = W·X with two weights a row,
n + p unknown images and hardly any noise. See :mod:`privaudit.imaging.joint` and :mod:`privaudit.imaging.joint_fresh`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field

from privaudit.contracts.attack import Attack, Check, Protocol, Task
from privaudit.contracts.claims import Reconstruction
from privaudit.contracts.knowledge import Knowledge, Rung
from privaudit.contracts.options import PluginOptions
from privaudit.contracts.transcript import Transcript
from privaudit.learning.joint_requests import JointRequests

SOLVED = 0.9
"""Share of the places that must be solved where references are used again; else the attack's silence says nothing."""


class JointOptions(PluginOptions):
    """From how many views."""

    views: list[Annotated[int, Field(ge=1)]] = Field(
        default=[],
        description="numbers K of views to attack with, beside what the defense sends, which is always attacked",
    )
    requests: list[Annotated[int, Field(ge=1)]] = Field(
        default=[],
        description="numbers of requests to attack with at once, as if the server had no others, beside all of them",
    )
    voxels: Annotated[int, Field(ge=256)] = Field(
        default=4096, description="voxels of each mixture that the mixing is found on"
    )


class JointAttack(Attack):
    """All requests are unmixed together: which share a reference, every mixing weight, and every image."""

    name = "joint"
    summary = "all requests unmixed together, by the references that they share"
    claim = "reconstruction"
    on_grid = True
    cheap = True
    together = True
    Options = JointOptions
    options: JointOptions

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        """One per number of views, of which the defense's own decides, and of requests."""
        held = {Rung.TRANSCRIPT, Rung.ATLAS}

        def protocol(name: str, k: int, requests: int | None = None) -> Protocol:
            return Protocol(
                name, frozenset(held | {Rung.POPULATION if k == 1 else Rung.VIEWS}), views=k,
                primary=k == views_sent and requests is None, curve=None if requests else "views", curve_x=k,
                cheap=k > 1 and requests is None, requests=requests,
            )  # fmt: skip

        counts = sorted({k for k in self.options.views if k < views_sent} | {views_sent})
        some = sorted(set(self.options.requests))
        return (
            *(protocol(f"K={k}", k) for k in counts),
            *(protocol(f"K={views_sent} requests={n}", views_sent, n) for n in some),
        )

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Reconstruction]:
        """Yield one picture per request."""
        mixing = task.scheme.mixing
        people = knowledge.population if Rung.POPULATION in protocol.knowledge else ()
        requests = JointRequests(transcripts, knowledge.atlas, mixing, self.options.voxels, task.seed, people)
        with task.ahead(0.4 * len(transcripts)) as advance:
            mixed = requests.solve(advance)
        told = {"solved": mixed.solved, "reused": float(mixed.reused)}
        own = {"linked": mixed.linked(), "alpha": mixed.alpha}
        if mixed.reused:
            told["references"] = mixed.references
        with task.ahead(0.5 * len(transcripts)) as advance:
            for number, picture in enumerate(requests.pictures(mixed, advance)):
                mine = {name: float(values[number]) for name, values in own.items() if math.isfinite(values[number])}
                yield Reconstruction(transcripts[number].request, *picture, diagnostics=told | mine)

    def judge(self, rows: Sequence[Mapping[str, Any]]) -> Sequence[Check]:
        """Whether what is used again could be unmixed, and how many references are in use."""
        if not rows:
            return []
        reused, solved = bool(rows[0]["reused"]), float(rows[0]["solved"])
        checks = [
            Check(
                "share of the mixtures that could be unmixed together", solved,
                f"at least {SOLVED:g} where references are used again", solved >= SOLVED or not reused,
            )
        ]  # fmt: skip
        if "references" in rows[0]:
            checks.append(Check("references in use, estimated", float(rows[0]["references"]), "told, not judged", True))
        return checks
