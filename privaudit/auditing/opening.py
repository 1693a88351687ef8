"""Opening an audit: where it lives, how it is run, and its data and plugins, checked before work starts."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from privaudit.auditing.battery import OFF_GRID
from privaudit.auditing.first_request import check_contract
from privaudit.auditing.jobs import Advance, Context
from privaudit.auditing.key_secret import open_secret
from privaudit.auditing.planning import all_attacks
from privaudit.auditing.scene import Scene
from privaudit.auditing.serving import open_service
from privaudit.auditing.spec import AuditSpec
from privaudit.auditing.wire import WireScene
from privaudit.cohorts.progress import counted
from privaudit.contracts import plugin
from privaudit.contracts.cohort import Dataset
from privaudit.contracts.defense import Defense
from privaudit.contracts.knowledge import Rung
from privaudit.contracts.references import stamp
from privaudit.contracts.roles import assign_roles
from privaudit.devices import choose_device
from privaudit.errors import OptionError
from privaudit.imaging.patches import as_tensor
from privaudit.memory import require_memory
from privaudit.scoring.images import choose_scorer
from privaudit.scoring.kinds import kind_of
from privaudit.traffic.reading import read_traffic

RUNS = Path("privaudit-runs")


@dataclass(frozen=True)
class Settings:
    """How to run, as opposed to what: none of this changes a figure (device and key secret may; the record says so).

    ``pseudonym_key`` is the file of the private key from which pseudonyms follow; None for one of the run's own.
    """

    out: Path | None = None
    cache: Path | None = None
    device: str = "auto"
    jobs: int = 1
    quiet: bool = False
    pseudonym_key: Path | None = None
    traffic: Path | None = None
    """Captured traffic, of which transcripts are made; None where the scheme makes them."""
    key_secret: Path | None = None
    """File of the secret that keys depend on, made if it is missing; None where they follow from the seed alone."""


Progress = Callable[[str, int], Advance]
"""Called as ``progress(job name, number of requests)``; returns the callback that advances that job's bar."""


def run_folder(spec: AuditSpec, out: Path | None) -> Path:
    """Where a run lives: ``--out``, or a folder named after the specification."""
    return out if out is not None else RUNS / f"{spec.dataset.label}-{spec.defense.label}-{spec.digest}"


@dataclass(frozen=True)
class Hidden:
    """A secret that no message shows."""

    secret: bytes = field(repr=False)


@lru_cache(maxsize=1)
def _open_scene(
    spec: AuditSpec,
    cache: Path | None,
    jobs: int,
    quiet: bool,
    device: str,
    code: tuple[str, ...],
    traffic: Path | None,
    hidden: Hidden,
) -> tuple[Scene, dict[str, Any]]:
    dataset = plugin.create("datasets", spec.dataset.name, Dataset, spec.dataset.values)
    defense = plugin.create("defenses", spec.defense.name, Defense, spec.defense.values)
    cohort = dataset.open(cache=cache, jobs=jobs, quiet=quiet)
    split = assign_roles(cohort.subjects, spec.split, spec.seed)
    parts = cohort, split, defense.fitted(cohort, split.victims), spec.seed
    secret = hidden.secret
    scene = Scene(*parts, secret) if traffic is None else WireScene(*parts, read_traffic(traffic), secret)
    _check_memory(scene)
    check_contract(scene)
    requests, attacks = scene.requests, all_attacks(spec)
    scene.service, scene.unserved = open_service(spec.utility, scene, attacks, choose_device(device))
    if all(kind_of(attack).one_by_one for attack in attacks):
        requests = tuple(
            request
            for part in (spec.pictures, spec.utility)
            for request in scene.some_requests(part.scans, part.people)
        )
    protocols = [protocol for attack in attacks for protocol in attack.protocols(scene.defense.views)]
    scene.prepare(requests, jobs, quiet, any(Rung.CANDIDATES in protocol.knowledge for protocol in protocols))
    scans = ((as_tensor(scene.truth(r).image), scene.draw_key(r)) for r in requests)
    scene.defense.ahead(counted(scans, len(requests), f"encoding with '{defense.name}'", quiet), jobs)
    return scene, dataset.params


def _check_memory(scene: Scene) -> None:
    """Refuse grids and numbers of views that cannot fit: all views of a request, and the maps that come back.

    Raises:
        DataError: they cannot.
    """
    shape, views = scene.cohort.shape, scene.defense.views
    values = views * (1 + scene.classes) + 2 * scene.classes + 4
    require_memory(
        4.0 * math.prod(shape) * values, f"a request of {views} views of {shape} voxels",
        "set a larger voxel_mm, a smaller shape, or fewer views",
    )  # fmt: skip


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
    # A file given by its place may have been edited since: then nothing of it may be kept.
    code = tuple(stamp(item.name) for item in (spec.dataset, spec.defense, *spec.attacks))
    asked = spec.model_copy(update={"attacks": tuple(attack for attack in spec.attacks if attack not in OFF_GRID)})
    hidden = Hidden(open_secret(settings.key_secret))
    opened = settings.cache, settings.jobs, settings.quiet, settings.device, code, settings.traffic, hidden
    scene, params = _open_scene(asked, *opened)
    scorer = choose_scorer(scene.cohort.shape, scene.defense.patch_size, spec.scoring.profile, spec.scoring.msssim)
    run = run_folder(spec, settings.out)
    if scene.off_grid is not None:
        names = {attack.name for attack in spec.attacks}
        more = tuple(attack for attack in OFF_GRID if attack.name not in names)
        spec = spec.model_copy(update={"attacks": (*spec.attacks, *more)})
    return Context(spec, scene, scorer, choose_device(settings.device), run, settings.pseudonym_key), params


def quiet_progress(name: str, total: int) -> Advance:
    """A bar that nobody sees."""
    return lambda _: None
