"""Executing one job: one attack under one protocol on one arm, scored row by row as claims arrive."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.attack import Attack, Facts, Protocol, Task
from privaudit.claims import Reconstruction, Similarity
from privaudit.errors import ClaimError
from privaudit.identity_scores import check_similarity, rank_queries
from privaudit.image_scores import ImageScorer, pool
from privaudit.knowledge import Rung
from privaudit.msssim import DenseSimilarity, MsssimSimilarity
from privaudit.patches import as_tensor
from privaudit.provenance import core_code, plugin_code, versions
from privaudit.scene import Arm, Scene, seed_from
from privaudit.spec import AuditSpec
from privaudit.store import JobFile, Row

Advance = Callable[[float], None]
DIGITS = 6
"""Rows are rounded to what float32 carries, so that the number of threads does not show."""


@dataclass(frozen=True)
class Job:
    """One attack, one protocol, one arm."""

    attack: str
    protocol: str
    arm: Arm

    @property
    def name(self) -> str:
        """Its file's stem."""
        return f"{self.attack}.{self.protocol}.{self.arm}"


@dataclass(frozen=True)
class Context:
    """What every job of an audit shares."""

    spec: AuditSpec
    scene: Scene
    scorer: ImageScorer
    device: torch.device
    run: Path


def scene_key(context: Context, libraries: tuple[str, ...]) -> dict[str, Any]:
    """What determines the rows of any job of an audit: code, data, defense, seed and where it runs."""
    scene = context.scene
    return {
        "code": core_code(),
        "defense code": plugin_code(type(scene.defense)),
        "defense": {"name": scene.defense.name, **scene.defense.params},
        **({} if (trained := scene.defense.trained) is None else {"defense weights": trained.digest}),
        "data": scene.cohort.fingerprint,
        "grid": [*scene.cohort.shape, scene.cohort.voxel_mm],
        # A hash: the split lists people by their raw names.
        "split": hashlib.sha256(repr(scene.split).encode()).hexdigest()[:12],
        "libraries": versions(libraries),
        "seed": context.spec.seed,
        "device": context.device.type,
    }


def facts_of(context: Context) -> Facts:
    """What anybody knows of the data."""
    cohort = context.scene.cohort
    return Facts(cohort.name, cohort.kind, cohort.voxel_mm, context.scene.defense.patch_size)


def job_key(context: Context, attack: Attack, protocol: Protocol, arm: Arm) -> dict[str, Any]:
    """All that determines a job's rows, in the parts that ``--explain`` names."""
    return {
        **scene_key(context, ("torch", "numpy", "scipy")),
        "attack code": plugin_code(type(attack)),
        "attack": {"name": attack.name, **attack.params},
        "learned": [item.digest for item in attack.learned(facts_of(context))],
        "protocol": {"name": protocol.name, "knowledge": sorted(protocol.knowledge), "views": protocol.views},
        "arm": arm,
        "scorer": context.scorer.describe(),
        "msssim": context.spec.scoring.msssim,
    }


def job_size(context: Context, protocol: Protocol, arm: Arm) -> int:
    """In how many units a job advances: its requests, or 1 for the attack's checks of itself."""
    return 1 if arm == "health" else len(context.scene.probes(protocol))


def task_of(context: Context, attack: Attack, protocol: Protocol, workdir: Path, advance: Advance) -> Task:
    """What the core lends an attack."""
    return Task(
        seed=seed_from(context.spec.seed, attack.name, protocol.name),
        device=context.device,
        msssim=context.spec.scoring.msssim,
        workdir=workdir,
        advance=advance,
        scheme={"name": context.scene.defense.name, **context.scene.defense.params},
        facts=facts_of(context),
        attack_seed=seed_from(context.spec.seed, attack.name),
        defense=context.scene.defense,
    )


def run_job(context: Context, attack: Attack, protocol: Protocol, job: Job, advance: Advance) -> JobFile:
    """Execute a job, or what a kill left of it.

    Args:
        context: the audit.
        attack: the plugin.
        protocol: which of its protocols.
        job: names of the above, and the arm.
        advance: called with the number of requests done (fractions while one is under way).

    Returns:
        The complete job.

    Raises:
        ClaimError: the attack's claims cannot be scored.
    """
    store = JobFile.open(context.run / "jobs" / f"{job.name}.jsonl", job_key(context, attack, protocol, job.arm))
    if store.done:
        advance(job_size(context, protocol, job.arm))
        return store
    started = time.perf_counter() - store.seconds
    workdir = context.run / "jobs" / f"{job.name}.work"
    if store.fresh:
        shutil.rmtree(workdir, ignore_errors=True)
    workdir.mkdir(parents=True, exist_ok=True)
    task = task_of(context, attack, protocol, workdir, advance)
    dtype = torch.get_default_dtype()
    try:
        store.begin()
        execute = _reconstruct if attack.claim == "reconstruction" else _identify
        if job.arm == "health":
            execute = _check
        execute(context, attack, protocol, job.arm, task, store, lambda: time.perf_counter() - started)
        store.finish(time.perf_counter() - started)
    finally:
        torch.set_default_dtype(dtype)  # a plugin may have changed it, and the next job must not notice
        store.close()
    shutil.rmtree(workdir, ignore_errors=True)
    return store


Clock = Callable[[], float]


def _reconstruct(
    context: Context, attack: Attack, protocol: Protocol, arm: Arm, task: Task, store: JobFile, clock: Clock
) -> None:
    scene = context.scene
    finished = {row["request"] for row in store.rows}
    task.advance(len(finished))
    pending = [request for request in scene.probes(protocol) if request not in finished]
    transcripts = scene.transcripts(pending, protocol, arm)
    waiting = set(pending)
    for claim in attack.run(protocol, transcripts, scene.knowledge(attack, protocol, arm), task):
        if not isinstance(claim, Reconstruction) or claim.request not in waiting:
            raise ClaimError(f"attack '{attack.name}' claims something that was not asked", got=repr(claim)[:80])
        waiting.discard(claim.request)
        store.append(_score_image(context, claim.checked(scene.cohort.shape, attack.name), attack.trivial), clock())
        task.advance(1)
    if waiting:
        raise ClaimError(f"attack '{attack.name}' left {len(waiting)} of {len(pending)} requests unanswered")


def _check(
    context: Context, attack: Attack, protocol: Protocol, arm: Arm, task: Task, store: JobFile, clock: Clock
) -> None:
    store.rows.clear()  # begun again: checks take a minute, and hang together
    for number, check in enumerate(attack.health(protocol, context.scene.knowledge(attack, protocol), task)):
        store.append({"request": f"{number:02d}", **asdict(check)}, clock())


def _score_image(context: Context, claim: Reconstruction, trivial: bool) -> Row:
    scene = context.scene
    truth = scene.truth(claim.request)
    brain = truth.labels > 0
    row: Row = {"request": claim.request, "person": scene.person(claim.request)}
    other = scene.bystander(claim.request)
    best: Row = {}
    for image, reference in [(claim.image, claim.reference), *claim.alternatives]:
        orders = [("as claimed", image, image if reference is None else reference)]
        if claim.exchangeable and other is not None:
            orders.append(("swapped", orders[0][2], image))
        for order, guess, of_other in orders:
            pictures = {"": (guess, as_tensor(truth.image))}
            if other is not None:
                pictures["reference_"] = (of_other, other.clamp(0, 1))
            scores = _scores(context, claim, pictures, brain, trivial)
            if len(orders) > 1:
                scores["order"] = order
            if not best or _likeness(scores) > _likeness(best):
                best = scores
    if claim.alternatives:
        best["best_of"] = 1 + len(claim.alternatives)
    fifth = scene.alpha_fifth(claim.request)
    return row | best | ({} if fifth is None else {"alpha_fifth": fifth}) | _rounded(claim.diagnostics)


def _scores(
    context: Context, claim: Reconstruction, pictures: Mapping[str, tuple[Tensor, Tensor]], brain: NDArray[np.bool_],
    trivial: bool,
) -> Row:  # fmt: skip
    """Metrics of each picture against its truth.

    Patch by patch for trivial attackers: others are compared with them on the patches that those others attack.
    """
    row: Row = {}
    for prefix, (guess, truth) in pictures.items():
        if context.scorer.patch is None and claim.positions is None:
            scores = context.scorer.score(guess, truth, brain)
        else:
            by_patch = context.scorer.by_patch(guess, truth, brain, claim.positions)
            if claim.positions is None:
                scores = context.scorer.score(guess, truth, brain, by_patch)
            else:
                scores, row["partial"] = pool(by_patch), True
            if trivial or claim.positions is not None:
                row[f"{prefix}patches"] = {k: [round(v, DIGITS) for v in values] for k, values in by_patch.items()}
        row |= {f"{prefix}{name}": value for name, value in _rounded(scores).items()}
    return row


def _likeness(row: Row) -> float:
    return float(row["ms_ssim"]) + float(row.get("reference_ms_ssim", 0.0))


def _rounded(scores: Mapping[Any, float]) -> dict[str, float]:
    return {str(name): round(value, DIGITS) for name, value in scores.items()}


def _identify(
    context: Context, attack: Attack, protocol: Protocol, arm: Arm, task: Task, store: JobFile, clock: Clock
) -> None:
    scene = context.scene
    scene.require_sessions()
    store.rows.clear()  # ranks exist all together or not at all
    requests = scene.probes(protocol)
    encoded = Rung.GALLERY not in protocol.knowledge
    transcripts = scene.transcripts(requests, protocol, arm)
    claims = list(attack.run(protocol, transcripts, scene.knowledge(attack, protocol), task))
    if len(claims) != 1 or not isinstance(claims[0], Similarity):
        raise ClaimError(f"attack '{attack.name}' must claim one similarity", got=f"{len(claims)} claims")
    scores = claims[0].scores
    if not isinstance(scores, DenseSimilarity | MsssimSimilarity):
        # The scorer asks for a person's own entries first: a value that depends on what is asked together would tell.
        raise ClaimError(f"attack '{attack.name}' must claim a DenseSimilarity", got=type(scores).__name__)
    people = [scene.person(request) for request in requests]
    owners = people if encoded else [alias for alias, _ in scene.gallery_scans()]
    check_similarity(scores, len(people), len(owners), encoded, attack.name)
    rng = np.random.default_rng(seed_from(task.seed, "ties"))
    for ranks in rank_queries(scores, people, owners, rng, task.advance):
        row = {"request": requests[ranks.query], **asdict(ranks)}
        row.pop("query")
        store.append({k: round(v, DIGITS) if isinstance(v, float) else v for k, v in row.items()}, clock())
