"""The audit: plan the jobs, execute what is missing, score, write the record."""

from __future__ import annotations

import datetime
import os
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import joblib
import torch

from privaudit.auditing.jobs import Advance, Context, Job, job_size, run_job
from privaudit.auditing.planning import Steps, all_attacks, learned_by, plan
from privaudit.auditing.recording import Outcome, make_record, with_limits
from privaudit.auditing.scene import Scene
from privaudit.auditing.serving import open_service
from privaudit.auditing.spec import AuditSpec, dump_spec
from privaudit.auditing.store import JobFile, lock, write_table
from privaudit.auditing.utility import Networks, check_weights, choose_networks, probes, run_utility, utility_figures
from privaudit.contracts import plugin
from privaudit.contracts.cohort import Dataset, split_subjects
from privaudit.contracts.defense import Defense
from privaudit.devices import choose_device
from privaudit.errors import DataError, OptionError, PrivauditError
from privaudit.files import write_text
from privaudit.results.record import Missing, Record
from privaudit.results.record_files import dumps
from privaudit.scoring.images import choose_scorer
from privaudit.scoring.kinds import kind_of

RUNS = Path("privaudit-runs")


@dataclass(frozen=True)
class Settings:
    """How to run, as opposed to what: none of this changes a figure (the device may, and is in the record)."""

    out: Path | None = None
    cache: Path | None = None
    device: str = "auto"
    jobs: int = 1
    quiet: bool = False


@dataclass(frozen=True)
class Result:
    """A finished audit: its folder, its record, and why each job was computed or reused."""

    run: Path
    record: Record
    notes: dict[str, str] = field(default_factory=dict)


Progress = Callable[[str, int], Advance]
"""Called as ``progress(job name, number of requests)``; returns the callback that advances that job's bar."""


def run_folder(spec: AuditSpec, out: Path | None) -> Path:
    """Where a run lives: ``--out``, or a folder named after the specification."""
    return out if out is not None else RUNS / f"{spec.dataset.name}-{spec.defense.name}-{spec.digest}"


@lru_cache(maxsize=1)
def _open_scene(
    spec: AuditSpec, cache: Path | None, jobs: int, quiet: bool, device: str
) -> tuple[Scene, dict[str, Any]]:
    dataset = plugin.create("datasets", spec.dataset.name, Dataset, spec.dataset.values)
    defense = plugin.create("defenses", spec.defense.name, Defense, spec.defense.values)
    cohort = dataset.open(cache=cache, jobs=jobs, quiet=quiet)
    shares = spec.split
    split = split_subjects(cohort.subjects, spec.seed, shares.victims, shares.pool, shares.population)
    scene = Scene(cohort, split, defense.fitted(cohort, split.victims), spec.seed)
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


def open_context(spec: AuditSpec, settings: Settings) -> tuple[Context, dict[str, Any]]:
    """Open data and plugins; checks everything that can be checked before work starts.

    Raises:
        PrivauditError: bad options or bad data.
    """
    if settings.jobs < 1:
        raise OptionError("--jobs must be at least 1", got=settings.jobs)
    scene, params = _open_scene(spec, settings.cache, settings.jobs, settings.quiet, settings.device)
    scorer = choose_scorer(scene.cohort.shape, scene.defense.patch_size, spec.scoring.profile, spec.scoring.msssim)
    return Context(spec, scene, scorer, choose_device(settings.device), run_folder(spec, settings.out)), params


def _quiet_progress(name: str, total: int) -> Advance:
    return lambda _: None


def _execute(spec: AuditSpec, settings: Settings, job: Job, advance: Advance) -> tuple[JobFile | None, str]:
    """Run one job; a plugin's failure is kept as text, bad data and options are raised."""
    context, _ = open_context(spec, settings)
    attack = next(a for a in all_attacks(spec) if a.name == job.attack)
    protocol = next(p for p in attack.protocols(context.scene.defense.views) if p.name == job.protocol)
    try:
        store = run_job(context, attack, protocol, job, advance)
    except (DataError, OptionError):
        raise
    except Exception as error:
        where = _keep_traceback(context, job.name)
        # A plugin's message may hold file names, and those names of people.
        shown = str(error) if context.scene.cohort.shareable or isinstance(error, PrivauditError) else f"see {where}"
        return None, f"{type(error).__name__}: {shown}"
    return store, ""


def _keep_traceback(context: Context, job: str) -> str:
    """Write the traceback of the exception under way beside the jobs; returns where, within the run's folder."""
    where = f"jobs/{job}.error.txt"
    write_text(context.run / where, traceback.format_exc())
    return where


def _worker(spec: AuditSpec, settings: Settings, job: Job, threads: int) -> tuple[JobFile | None, str]:
    torch.set_num_threads(threads)
    store, error = _execute(spec, settings, job, lambda _: None)
    return store, error


def run_audit(spec: AuditSpec, settings: Settings | None = None, progress: Progress = _quiet_progress) -> Result:
    """Run an audit, or what a kill left of it, and write ``record.json`` into its folder.

    Args:
        spec: what to audit.
        settings: how to run.
        progress: makes a progress bar per job.

    Returns:
        The record and where it lies.

    Raises:
        PrivauditError: bad options or data, before anything is written; or another process writes the same run.
    """
    settings = settings or Settings()
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    attacks = all_attacks(spec)
    check_weights(spec.utility)
    context, dataset_params = open_context(spec, settings)
    steps, skipped = plan(context, attacks)
    learned = learned_by(context, attacks)
    networks, note = choose_networks(spec.utility, context.scene)
    with lock(context.run):
        _clear(context.run)
        write_text(context.run / "spec.yaml", dump_spec(spec))
        done: dict[Job, JobFile] = {}
        missing: list[Missing] = []
        _execute_all(context, settings, steps, progress, done, missing)
        steps = with_limits(context, steps, done)
        _execute_all(context, settings, steps, progress, done, missing)
        utility = _utility(context, networks, missing, progress)
        scheme = context.scene.defense.trained
        weights = [] if scheme is None else [{"name": scheme.name, "sha256": scheme.digest}]
        weights += [item for item in ([] if networks is None else networks.used) if item not in weights]
        weights += [{"name": item.name, "sha256": item.digest} for items in learned.values() for item in items]
        figures = [] if utility is None else utility_figures(utility.rows, context)
        outcome = Outcome(steps, done, missing, skipped, figures, note, weights)
        record = make_record(context, dataset_params, outcome, started, settings.jobs)
        for store in done.values():
            write_table(store, context.run / "tables")
        write_text(context.run / "record.json", dumps(record))
    notes = {job.name: store.note for job, store in done.items()}
    return Result(context.run, record, notes | ({} if utility is None else {"utility": utility.note}))


def _utility(context: Context, networks: Networks | None, missing: list[Missing], progress: Progress) -> JobFile | None:
    """Measure utility; a failure is kept as missing, so that it passes for nothing."""
    if networks is None:
        return None
    advance = progress("utility", len(probes(context.spec.utility, context.scene)))
    try:
        return run_utility(context, networks, advance)
    except (DataError, OptionError):
        raise
    except Exception as error:
        where = _keep_traceback(context, "utility")
        missing.append(Missing(attack="utility", protocol="segmentation", error=f"{type(error).__name__}: see {where}"))
        return None


def _clear(run: Path) -> None:
    """Remove what an earlier audit concluded: until this one has, the folder must not hold a verdict."""
    for pattern in ("record.json", "card.*", "tables/*.csv", "jobs/*.error.txt"):
        for file in run.glob(pattern):
            file.unlink()


def _execute_all(
    context: Context, settings: Settings, steps: Steps, progress: Progress, done: dict[Job, JobFile],
    missing: list[Missing],
) -> None:  # fmt: skip
    """Run what is planned and neither done nor missing yet, and add it to what is."""
    totals = {Job(a.name, p.name, arm): job_size(context, a, p, arm) for a, p, arms in steps for arm in arms}
    failed = {(item.attack, item.protocol) for item in missing}
    jobs = [job for job in totals if job not in done and (job.attack, job.protocol) not in failed]
    for job, store, error in _executed(context.spec, settings, jobs, totals, progress):
        if store is None:
            item = Missing(attack=job.attack, protocol=job.protocol, error=error)
            missing += [item] if item not in missing else []
        else:
            done[job] = store


def _executed(
    spec: AuditSpec, settings: Settings, jobs: list[Job], totals: dict[Job, int], progress: Progress
) -> Iterator[tuple[Job, JobFile | None, str]]:
    if settings.jobs == 1:
        for job in jobs:
            advance = progress(job.name, totals[job])
            yield (job, *_execute(spec, settings, job, advance))
        return
    # One bar per job cannot be fed from other processes, so here each jumps when its job ends.
    threads = max(1, (os.cpu_count() or 1) // settings.jobs)
    bars = {job: progress(job.name, totals[job]) for job in jobs}
    calls = (joblib.delayed(_worker)(spec, settings, job, threads) for job in jobs)
    # Workers are replaced when they have grown; what they had learned is learned again, and nobody need know.
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
    results = joblib.Parallel(n_jobs=settings.jobs, return_as="generator")(calls)
    for job, (store, error) in zip(jobs, results, strict=True):
        bars[job](totals[job])
        yield job, store, error
