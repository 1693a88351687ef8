"""What an attack that draws at random makes of one request from several initialisations (the paper's Fig. 4)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.attack import Attack, Illustration, Protocol
from privaudit.claims import Reconstruction
from privaudit.jobs import Context, task_of
from privaudit.msssim import ms_ssim, profile_for
from privaudit.patches import Shape, as_tensor, cut

STARTS = 3
"""Initialisations."""
SIDE = 32
"""Side of what is shown where whole volumes are sent."""
Titled = list[tuple[str, Tensor]]


def gallery(context: Context, attack: Attack) -> Illustration:
    """The attacked patches of the first request: a row of truth and mixture, then rows of what was recovered."""
    scene, protocol = context.scene, primary_of(attack, context)
    request = scene.requests[0]
    claims = [claim_of(context, attack, protocol, request, start) for start in range(STARTS)]
    places = claims[0].positions
    size: Shape = (scene.defense.patch_size or min(SIDE, *scene.cohort.shape),) * 3
    if places is None:
        places, size = np.zeros((1, 3), dtype=np.int64), scene.cohort.shape
    truth, other = as_tensor(scene.truth(request).image), scene.bystander(request)
    seen = scene.transcript(request, arm="audit").stitched()
    caption = (
        f"{attack.name}, {protocol.name}: middle slices of the patches with most tissue of the first request. What was"
        f" sent and what it was made of; then what the attack recovers from {STARTS} initialisations, each with its"
        " MS-SSIM to the true one."
    )
    rows = [row for corner in places for row in _rows(truth, other, seen, claims, corner, size)]
    return Illustration("gallery", caption, rows)


def illustrations(context: Context, attack: Attack) -> Iterator[Illustration]:
    """What the attack shows of what it holds."""
    protocol = primary_of(attack, context)
    with TemporaryDirectory() as folder:
        task = task_of(context, attack, protocol, Path(folder), lambda _: None)
        yield from attack.illustrate(context.scene.knowledge(attack, protocol), task)


def primary_of(attack: Attack, context: Context) -> Protocol:
    """The first of an attack's protocols that decides."""
    return next(p for p in attack.protocols(context.scene.defense.views) if p.primary)


def claim_of(context: Context, attack: Attack, protocol: Protocol, request: str, start: int = 0) -> Reconstruction:
    """What an attack claims; ``start`` counts initialisations from the audit's own."""
    scene = context.scene
    transcripts = scene.transcripts([request], protocol, "audit")
    with TemporaryDirectory() as folder:
        task = task_of(context, attack, protocol, Path(folder), lambda _: None)
        task = replace(task, seed=task.seed + start)
        claim = next(iter(attack.run(protocol, transcripts, scene.knowledge(attack, protocol), task)))
    assert isinstance(claim, Reconstruction)
    return claim.checked(scene.cohort.shape, attack.name)


def _rows(
    truth: Tensor, other: Tensor | None, seen: Tensor, claims: list[Reconstruction], corner: NDArray[np.int64],
    size: Shape,
) -> list[Titled]:  # fmt: skip
    def part(volume: Tensor) -> Tensor:
        return cut(volume, corner[None], size)[0].clamp(0, 1)

    target, mixture = part(truth), part(seen)
    cells = [("target", target)] + ([] if other is None else [("mixed with", part(other))])
    cells.append(("what was sent", mixture))
    pairs = [(part(c.image), part(c.image if c.reference is None else c.reference)) for c in claims]
    if other is None:
        return [cells, [_titled("target", n, one, target) for n, (one, _) in enumerate(pairs, start=1)]]
    reference = part(other)
    for number, (one, two) in enumerate(pairs):
        swapped = _like(two, target) + _like(one, reference) > _like(one, target) + _like(two, reference)
        if claims[number].exchangeable and swapped:
            pairs[number] = two, one
    targets = [_titled("target", n, one, target) for n, (one, _) in enumerate(pairs, start=1)]
    return [cells, targets, [_titled("reference", n, two, reference) for n, (_, two) in enumerate(pairs, start=1)]]


def _titled(name: str, start: int, image: Tensor, truth: Tensor) -> tuple[str, Tensor]:
    return f"{name}, start {start}\n{_like(image, truth):.3f}", image


def _like(image: Tensor, truth: Tensor) -> float:
    with torch.inference_mode():
        return float(ms_ssim(image[None], truth[None], profile_for(truth.shape)))
