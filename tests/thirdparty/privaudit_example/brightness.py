"""A kind of claim of its own: how bright somebody's brain is, one number for each request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Self

import torch

from privaudit import (
    Asked,
    Attack,
    Claim,
    Finding,
    Knowledge,
    PairedKind,
    Protocol,
    Record,
    Rung,
    Task,
    Transcript,
    Words,
)
from privaudit.errors import ClaimError
from privaudit.scoring.rows import Row
from privaudit.scoring.settings import ScoringSpec

SCALE = 0.1
"""Error of the brightness that scores 0."""


@dataclass(frozen=True)
class Brightness(Claim):
    """Mean intensity within the brain, 0 to 1."""

    request: str
    value: float

    def checked(self, shape: tuple[int, int, int], attack: str) -> Self:
        if not 0 <= self.value <= 1:
            raise ClaimError(f"attack '{attack}' claims a brightness", got=self.value, allowed="0 to 1")
        return self


class BrightnessKind(PairedKind):
    """How near a claimed brightness is to the true one."""

    name = "brightness"
    summary = "example: mean intensity of each brain"
    claim = Brightness
    metrics = {"closeness": "closeness of brightness"}
    primary = "closeness"
    victims = ("target",)
    beside = ("mean-brightness",)
    blind = frozenset({"mean-brightness"})
    words = Words(
        noun="brightness",
        title="brightness",
        gain="brightness: closeness above not looking",
        strongest="brightness, closeness",
        untested="how bright somebody's brain is",
        panel="Brightness: how near each attack comes.",
        columns=("closeness",),
        glossary={"closeness": f"1 less the error of the brightness in units of {SCALE:g}; 1 is exact"},
    )

    def margin(self, scoring: ScoringSpec) -> float:
        return 0.02

    def score_one(self, claim: Claim, asked: Asked) -> Row:
        assert isinstance(claim, Brightness)
        truth = asked.secrets.truth(claim.request)
        error = abs(claim.value - float(truth.image[truth.labels > 0].mean()))
        return {"closeness": round(max(0.0, 1 - error / SCALE), 6)}

    def sentence(self, finding: Finding, record: Record) -> str:
        assert finding.baseline is not None
        return f"The brightness comes as near as {finding.estimate:.2f}, unseen {finding.baseline.estimate:.2f}."

    def cells(self, finding: Finding, record: Record) -> list[str] | None:
        return None if finding.role == "baseline" else [f"{finding.estimate:.3f}"]


class MeanBrightnessAttack(Attack):
    """Claims the brightness of the attacker's atlas for everybody."""

    name = "mean-brightness"
    summary = "example: trivial: the mean brightness, whatever was sent"
    claim = "brightness"
    trivial = True
    reads_transcript = False

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        return (Protocol("default", frozenset({Rung.ATLAS})),)

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Brightness]:
        mean = knowledge.atlas.mean
        for transcript in transcripts:
            yield Brightness(transcript.request, float(mean[mean > 0].mean()))


class MeterAttack(Attack):
    """Believes what was sent as far as it resembles the atlas."""

    name = "meter"
    summary = "example: brightness of what was sent, as far as it looks like a brain"
    claim = "brightness"

    def protocols(self, views_sent: int) -> tuple[Protocol, ...]:
        return (Protocol("default", frozenset({Rung.TRANSCRIPT, Rung.ATLAS})),)

    def run(
        self, protocol: Protocol, transcripts: Sequence[Transcript], knowledge: Knowledge, task: Task
    ) -> Iterator[Brightness]:
        mean = knowledge.atlas.mean
        brain = mean > 0
        for transcript in transcripts:
            seen = transcript.stitched()
            alike = float(torch.corrcoef(torch.stack([seen.flatten(), mean.flatten()]))[0, 1])
            unseen, sent = float(mean[brain].mean()), float(seen[brain].mean())
            yield Brightness(transcript.request, min(1.0, max(0.0, unseen + alike**2 * (sent - unseen))))
