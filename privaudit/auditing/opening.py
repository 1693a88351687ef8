"""Opening an audit: where it lives, how it is run, and its data and plugins, checked before work starts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from privaudit.auditing.jobs import Advance, Context
from privaudit.auditing.planning import all_attacks
from privaudit.auditing.scene import Scene
from privaudit.auditing.serving import open_service
from privaudit.auditing.spec import AuditSpec
from privaudit.auditing.wire import WireScene
from privaudit.contracts import plugin
from privaudit.contracts.cohort import Dataset, split_subjects
from privaudit.contracts.defense import Defense
from privaudit.devices import choose_device
from privaudit.errors import OptionError
from privaudit.scoring.images import choose_scorer
from privaudit.scoring.kinds import kind_of
from privaudit.traffic.reading import read_traffic

RUNS = Path("privaudit-runs")


@dataclass(frozen=True)
class Settings:
    """How to run, as opposed to what: none of this changes a figure (the device may, and is in the record)."""

    out: Path | None = None
    cache: Path | None = None
    device: str = "auto"
    jobs: int = 1
    quiet: bool = False
    traffic: Path | None = None
    """Captured traffic, of which transcripts are made; None where the scheme makes them."""


Progress = Callable[[str, int], Advance]
"""Called as ``progress(job name, number of requests)``; returns the callback that advances that job's bar."""


def run_folder(spec: AuditSpec, out: Path | None) -> Path:
    """Where a run lives: ``--out``, or a folder named after the specification."""
    return out if out is not None else RUNS / f"{spec.dataset.name}-{spec.defense.name}-{spec.digest}"


@lru_cache(maxsize=1)
def _open_scene(
    spec: AuditSpec, cache: Path | None, jobs: int, quiet: bool, device: str, traffic: Path | None
) -> tuple[Scene, dict[str, Any]]:
    dataset = plugin.create("datasets", spec.dataset.name, Dataset, spec.dataset.values)
    defense = plugin.create("defenses", spec.defense.name, Defense, spec.defense.values)
    cohort = dataset.open(cache=cache, jobs=jobs, quiet=quiet)
    shares = spec.split
    split = split_subjects(cohort.subjects, spec.seed, shares.victims, shares.pool, shares.population)
    parts = cohort, split, defense.fitted(cohort, split.victims), spec.seed
    scene = Scene(*parts) if traffic is None else WireScene(*parts, read_traffic(traffic))
    requests, attacks = scene.requests, all_attacks(spec)
    scene.service, scene.unserved = open_service(spec.utility, scene, attacks, choose_device(device))
    if all(kind_of(attack).one_by_one for attack in attacks):
        requests = tuple(
            request
            for part in (spec.pictures, spec.utility)
            for request in scene.some_requests(part.scans, part.people)
        )
    scene.prepare(requests, jobs, quiet)
    return scene, dataset.params


def traffic_folder(spec: AuditSpec, traffic: Path) -> Path:
    """Where an audit of traffic lives unless told otherwise: beside the audit of the same specification."""
    return RUNS / f"{spec.dataset.name}-{spec.defense.name}-{spec.digest}-wire-{read_traffic(traffic).digest[:8]}"


def open_context(spec: AuditSpec, settings: Settings) -> tuple[Context, dict[str, Any]]:
    """Open data and plugins; checks everything that can be checked before work starts.

    Raises:
        PrivauditError: bad options or bad data.
    """
    if settings.jobs < 1:
        raise OptionError("--jobs must be at least 1", got=settings.jobs)
    scene, params = _open_scene(spec, settings.cache, settings.jobs, settings.quiet, settings.device, settings.traffic)
    scorer = choose_scorer(scene.cohort.shape, scene.defense.patch_size, spec.scoring.profile, spec.scoring.msssim)
    return Context(spec, scene, scorer, choose_device(settings.device), run_folder(spec, settings.out)), params


def quiet_progress(name: str, total: int) -> Advance:
    """A bar that nobody sees."""
    return lambda _: None
