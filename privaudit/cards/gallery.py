"""What an attack that draws at random makes of one request from several initialisations, and what it holds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from privaudit.auditing.jobs import Context, asked_of, probes, task_of
from privaudit.auditing.shown import shown_protocol
from privaudit.contracts.attack import Attack, Illustration, Protocol
from privaudit.contracts.claims import Claim
from privaudit.scoring.kinds import kind_of

STARTS = 3
"""Initialisations."""
SIDE = 32
"""Side of what is shown where whole volumes are sent."""


def gallery(context: Context, attack: Attack) -> Illustration:
    """What was sent for the first request, and rows of what was recovered from it."""
    scene, protocol = context.scene, shown_protocol(attack, context.scene.defense.views)
    request = scene.requests[0]
    claims = [claims_of(context, attack, protocol, [request], start)[request] for start in range(STARTS)]
    caption = (
        f"{attack.name}, {protocol.name}: middle slices of the patches with most tissue of the first request. What was"
        f" sent and what it was made of; then what the attack recovers from {STARTS} initialisations, each with its"
        " MS-SSIM to the true one."
    )
    seen = scene.transcript(request, arm="audit").stitched()
    side = scene.defense.patch_size or min(SIDE, *scene.cohort.shape)
    rows = kind_of(attack).gallery(claims, request, seen, side, asked_of(context, attack, protocol, (request,)))
    return Illustration("gallery", caption, rows)


def illustrations(context: Context, attack: Attack) -> Iterator[Illustration]:
    """What the attack shows of what it holds."""
    protocol = shown_protocol(attack, context.scene.defense.views)
    with TemporaryDirectory() as folder:
        task = task_of(context, attack, protocol, Path(folder), lambda _: None)
        yield from attack.illustrate(context.scene.knowledge(attack, protocol), task)


def claims_of(
    context: Context, attack: Attack, protocol: Protocol, requests: Sequence[str], start: int = 0
) -> dict[str, Claim]:
    """What an attack claims of some requests; ``start`` counts initialisations from the audit's own.

    One that needs all transcripts at once gets those that the audit gave it, too.
    """
    scene, found = context.scene, dict[str, Claim]()
    asked = [*requests, *(probes(context, attack, protocol) if attack.together else ())]
    transcripts = scene.transcripts(tuple(dict.fromkeys(asked)), protocol, "audit")
    with TemporaryDirectory() as folder:
        task = task_of(context, attack, protocol, Path(folder), lambda _: None)
        task = replace(task, seed=task.seed + start)
        for claim in attack.run(protocol, transcripts, scene.knowledge(attack, protocol), task):
            request = getattr(claim, "request", requests[0])
            if request in requests:
                found[request] = claim.checked(scene.cohort.shape, attack.name)
            if len(found) == len(requests):
                break
    return found
