"""Executing one job: one attack under one protocol on one arm, scored row by row as claims arrive."""

from __future__ import annotations

import hashlib
import itertools
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from privaudit.auditing.pseudonyms import KEY_FILE, Pseudonyms, read_names
from privaudit.auditing.scene import Scene
from privaudit.auditing.shown import Shown, is_shown, shown_requests, watched
from privaudit.auditing.spec import AuditSpec
from privaudit.auditing.store import JobFile, work_folder
from privaudit.auditing.timing import timed
from privaudit.auditing.witness import encodings_of, first_sent
from privaudit.contracts.attack import Attack, Facts, Protocol, Task
from privaudit.contracts.claims import Claim
from privaudit.contracts.knowledge import Rung
from privaudit.errors import PluginError
from privaudit.files import private_folder
from privaudit.paths import marked_name, told
from privaudit.provenance import core_code, plugin_code, versions
from privaudit.scoring.arms import Arm
from privaudit.scoring.images import ImageScorer
from privaudit.scoring.kind import Asked
from privaudit.scoring.kinds import kind_of
from privaudit.scoring.rows import Row
from privaudit.seeds import seed_from

Advance = Callable[[float], None]


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
    pseudonym_key: Path | None = None

    @property
    def key_file(self) -> Path:
        """The private key of pseudonyms: the one that was named, or the run's own."""
        return self.pseudonym_key or self.run / KEY_FILE

    @cached_property
    def names(self) -> Pseudonyms | None:
        """Pseudonyms in files; None where the cohort may be shown, and the seed's own may stand there."""
        return None if self.scene.cohort.shareable else read_names(self.scene.all_names(), self.key_file)


def scene_key(context: Context, libraries: tuple[str, ...]) -> dict[str, Any]:
    """What determines the rows of any job of an audit: code, data, defense and what it sends, seed, where it runs."""
    scene = context.scene
    return {
        "code": core_code(),
        "defense code": plugin_code(type(scene.defense)),
        "defense": {"name": scene.defense.name, **told(scene.defense.params, marked_name)},
        **({} if (trained := scene.defense.trained) is None else {"defense weights": trained.digest}),
        **({} if not scene.defense.digest else {"defense digest": scene.defense.digest}),
        "encodings": encodings_of(scene),
        "data": scene.cohort.fingerprint,
        "grid": [*scene.cohort.shape, scene.cohort.voxel_mm],
        # A hash: the split lists people by their raw names.
        "split": hashlib.sha256(repr(scene.split).encode()).hexdigest()[:12],
        "libraries": versions(libraries),
        "seed": context.spec.seed,
        **({} if not scene.key_mark else {"key secret": scene.key_mark}),
        "device": context.device.type,
    }


def facts_of(context: Context) -> Facts:
    """What anybody knows of the data."""
    cohort = context.scene.cohort
    return Facts(cohort.name, cohort.kind, cohort.voxel_mm, context.scene.defense.patch_size)


def job_key(context: Context, attack: Attack, protocol: Protocol, arm: Arm) -> dict[str, Any]:
    """All that determines a job's rows, in the parts that ``--explain`` names."""
    service = context.scene.service if Rung.SERVED in protocol.knowledge else None
    return {
        **scene_key(context, ("torch", "numpy", "scipy")),
        **({} if service is None else {"served by": service.digest}),
        "attack code": plugin_code(type(attack)),
        "attack": {"name": attack.name, **told(attack.params, marked_name)},
        "claim code": plugin_code(type(kind_of(attack))),
        "learned": [item.digest for item in attack.learned(facts_of(context))],
        "protocol": {"name": protocol.name, "knowledge": sorted(protocol.knowledge), "views": protocol.views},
        "arm": arm,
        **({"attributes": context.scene.attributes_digest()} if kind_of(attack).needs_attributes else {}),
        **({"pictures": context.spec.pictures.model_dump()} if kind_of(attack).one_by_one else {}),
        "scorer": context.scorer.describe(),
        "msssim": context.spec.scoring.msssim,
    }


def probes(context: Context, attack: Attack, protocol: Protocol) -> tuple[str, ...]:
    """The requests an attack is run on: of pictures, those of the people whom the specification leaves in."""
    scene, limits = context.scene, context.spec.pictures
    if not kind_of(attack).one_by_one:
        return scene.later_requests if Rung.GALLERY in protocol.knowledge else scene.requests
    return scene.some_requests(limits.scans, limits.people)


def job_size(context: Context, attack: Attack, protocol: Protocol, arm: Arm) -> int:
    """In how many units a job advances: its requests, or 1 for the attack's checks of itself."""
    return 1 if arm == "health" else len(probes(context, attack, protocol))


def task_of(
    context: Context, attack: Attack, protocol: Protocol, workdir: Path, advance: Advance, arm: Arm = "audit"
) -> Task:
    """What the core lends an attack; on an arm with a planted leak, the scheme that leaks."""
    return Task(
        seed=seed_from(context.spec.seed, attack.name, protocol.name),
        device=context.device,
        msssim=context.spec.scoring.msssim,
        workdir=workdir,
        advance=advance,
        scheme=context.scene.defense.scheme,
        facts=facts_of(context),
        attack_seed=seed_from(context.spec.seed, attack.name),
        common_seed=seed_from(context.spec.seed, "common") % 2**31,
        defense=context.scene.lent(arm),
    )


def job_path(context: Context, job: Job) -> Path:
    """The file of a job."""
    return context.run / "jobs" / f"{job.name}.jsonl"


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
    # A check of an attack by itself has rows of its own, and of a kind that scores all together some have no answer.
    wanted = None if job.arm == "health" else probes(context, attack, protocol)
    key, path = job_key(context, attack, protocol, job.arm), job_path(context, job)
    store = JobFile.open(path, key, wanted, every=kind_of(attack).one_by_one, names=context.names)
    if store.done:
        advance(job_size(context, attack, protocol, job.arm))
        return store
    started = time.perf_counter() - store.seconds
    workdir = work_folder(path, context.scene.cohort.fingerprint)
    if store.fresh:
        shutil.rmtree(workdir, ignore_errors=True)
    private_folder(workdir)
    limited = timed(advance, context.spec.time_limit, started, context.scene.seconds_per_scan)
    task = task_of(context, attack, protocol, workdir, limited, job.arm)
    dtype = torch.get_default_dtype()
    try:
        store.begin()
        before = first_sent(context.scene)
        execute = _check if job.arm == "health" else _attack
        for row in execute(context, attack, protocol, job.arm, task, store):
            store.append(row, time.perf_counter() - started)
        if first_sent(context.scene) != before:
            store.close()
            store.path.unlink()  # nothing of it may be taken up again
            raise PluginError(
                f"attack '{attack.name}' changed what the scheme sends", todo="let it use task.defense, its own copy"
            )
        store.finish(time.perf_counter() - started)
    finally:
        torch.set_default_dtype(dtype)  # a plugin may have changed it, and the next job must not notice
        store.close()
    shutil.rmtree(workdir, ignore_errors=True)
    return store


def asked_of(
    context: Context, attack: Attack, protocol: Protocol, requests: Sequence[str],
    advance: Advance = lambda _: None,
) -> Asked:  # fmt: skip
    """What a kind of claim scores this attack's claims about some requests with."""
    seed = seed_from(context.spec.seed, attack.name, protocol.name)
    return Asked(attack, protocol, tuple(requests), context.scene, context.scorer, seed, advance)


def _attack(
    context: Context, attack: Attack, protocol: Protocol, arm: Arm, task: Task, store: JobFile
) -> Iterator[Row]:
    """Rows of what is still to be answered."""
    scene, kind = context.scene, kind_of(attack)
    if not kind.one_by_one or attack.together:
        store.rows.clear()  # rows exist all together or not at all
    finished = {row["request"] for row in store.rows}
    task.advance(len(finished))
    pending = [request for request in probes(context, attack, protocol) if request not in finished]
    # As many requests at once as the protocol says, or a few more: the rest would be too few.
    parts = np.array_split(pending, max(1, len(pending) // protocol.requests) if protocol.requests else 1)
    knowledge = scene.knowledge(attack, protocol, arm)
    claims: Iterator[Claim] = itertools.chain.from_iterable(
        attack.run(protocol, scene.transcripts(part.tolist(), protocol, arm), knowledge, task) for part in parts
    )
    asked = asked_of(context, attack, protocol, pending, task.advance)
    if arm == "audit" and is_shown(attack, protocol, scene):
        claims = watched(claims, shown_requests(scene, context.spec.pictures), Shown(store.path, store.key), asked)
    yield from kind.score(claims, asked)


def _check(context: Context, attack: Attack, protocol: Protocol, arm: Arm, task: Task, store: JobFile) -> Iterator[Row]:
    """Rows of the attack's checks of itself."""
    store.rows.clear()  # begun again: checks take a minute, and hang together
    for number, check in enumerate(attack.health(protocol, context.scene.knowledge(attack, protocol), task)):
        yield {"request": f"{number:02d}", **asdict(check)}
