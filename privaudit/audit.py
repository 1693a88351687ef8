"""The audit: plan the jobs, execute what is missing, score, write the record."""

from __future__ import annotations

import csv
import datetime
import io
import os
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import joblib
import torch

from privaudit import plugin
from privaudit.attack import Attack, Check, Protocol
from privaudit.cohort import Dataset, count_seen, split_subjects
from privaudit.defense import Defense
from privaudit.devices import choose_device
from privaudit.errors import DataError, OptionError, PrivauditError
from privaudit.files import write_text
from privaudit.findings import add_curves, doubt_misfits, image_findings
from privaudit.identity_findings import identity_findings
from privaudit.image_scores import choose_scorer
from privaudit.jobs import Advance, Context, Job, job_size, run_job
from privaudit.planning import all_attacks, learned_by, plan
from privaudit.provenance import core_code, machine, plugin_code
from privaudit.record import DatasetInfo, DefenseInfo, Finding, Health, Missing, Record, dumps, overall
from privaudit.scene import Arm, Scene
from privaudit.scorecard import Scorecard, Scored
from privaudit.spec import AuditSpec, dump_spec
from privaudit.store import JobFile, Row, lock
from privaudit.utility import Networks, check_weights, choose_networks, probes, run_utility, utility_findings

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
def _open_scene(spec: AuditSpec, cache: Path | None, jobs: int, quiet: bool) -> tuple[Scene, dict[str, Any]]:
    dataset = plugin.create("datasets", spec.dataset.name, Dataset, spec.dataset.values)
    defense = plugin.create("defenses", spec.defense.name, Defense, spec.defense.values)
    cohort = dataset.open(cache=cache, jobs=jobs, quiet=quiet)
    shares = spec.split
    split = split_subjects(cohort.subjects, spec.seed, shares.victims, shares.pool, shares.population)
    return Scene(cohort, split, defense.fitted(cohort, split.victims), spec.seed), dataset.params


def open_context(spec: AuditSpec, settings: Settings) -> tuple[Context, dict[str, Any]]:
    """Open data and plugins; checks everything that can be checked before work starts.

    Raises:
        PrivauditError: bad options or bad data.
    """
    if settings.jobs < 1:
        raise OptionError("--jobs must be at least 1", got=settings.jobs)
    scene, params = _open_scene(spec, settings.cache, settings.jobs, settings.quiet)
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
    steps = plan(context, attacks)
    learned = learned_by(context, attacks)
    networks, note = choose_networks(spec.utility, context.scene)
    jobs = [Job(a.name, p.name, arm) for a, p, arms in steps for arm in arms]
    totals = {Job(a.name, p.name, arm): job_size(context, p, arm) for a, p, arms in steps for arm in arms}
    with lock(context.run):
        _clear(context.run)
        write_text(context.run / "spec.yaml", dump_spec(spec))
        done: dict[Job, JobFile] = {}
        missing: list[Missing] = []
        for job, store, error in _execute_all(spec, settings, jobs, totals, progress):
            if store is None:
                item = Missing(attack=job.attack, protocol=job.protocol, error=error)
                missing += [item] if item not in missing else []
            else:
                done[job] = store
        utility = _utility(context, networks, missing, progress)
        measured = {
            "utility": utility_findings(utility.rows, context) if utility is not None else [],
            "utility_note": note,
        }
        scheme = context.scene.defense.trained
        weights = [] if scheme is None else [{"name": scheme.name, "sha256": scheme.digest}]
        weights += [item for item in ([] if networks is None else networks.used) if item not in weights]
        weights += [{"name": item.name, "sha256": item.digest} for items in learned.values() for item in items]
        record = _record(context, dataset_params, steps, done, missing, settings, started, measured, weights)
        for store in done.values():
            _write_table(context, store)
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
    results = joblib.Parallel(n_jobs=settings.jobs, return_as="generator")(calls)
    for job, (store, error) in zip(jobs, results, strict=True):
        bars[job](totals[job])
        yield job, store, error


def _write_table(context: Context, store: JobFile) -> None:
    if not store.rows or not store.path.name.endswith(".audit.jsonl"):
        return
    text = io.StringIO()
    columns = [name for name in store.rows[0] if not name.endswith("patches")]
    writer = csv.DictWriter(text, fieldnames=columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(store.rows)
    write_text(context.run / "tables" / f"{store.path.name.removesuffix('.audit.jsonl')}.csv", text.getvalue())


def describe_scheme(scene: Scene) -> DefenseInfo:
    """The scheme, and what must be known of how it was trained, if it was."""
    info = DefenseInfo(name=scene.defense.name, params=scene.defense.params)
    trained = scene.defense.trained
    if trained is None:
        return info
    told = trained.config.training
    notes = [str(doubt) for doubt in told.get("doubts", [])]
    attackers = scene.split.population
    if seen := count_seen(trained.config.people, scene.cohort, attackers):
        notes.append(
            f"the scheme was trained on {seen} of the {len(attackers)} people whom the attacker learns from:"
            " an attacker with others may do better"
        )
    return info.model_copy(update={"flaws": [str(flaw) for flaw in told.get("collapsed", [])], "notes": notes})


def _read_check(row: Row) -> Check:
    return Check(**{key: value for key, value in row.items() if key != "request"})


def _record(
    context: Context,
    dataset_params: dict[str, Any],
    steps: list[tuple[Attack, Protocol, list[Arm]]],
    done: dict[Job, JobFile],
    missing: list[Missing],
    settings: Settings,
    started: str,
    measured: dict[str, Any],
    weights: list[dict[str, str]],
) -> Record:
    spec, scene = context.spec, context.scene
    scored = []
    for attack, protocol, arms in steps:
        stores = {arm: done.get(Job(attack.name, protocol.name, arm)) for arm in arms}
        if stores["audit"] is None:
            continue
        # Sorted, so that the order in which a kill and its repair left them does not show in the last digit.
        rows: dict[Arm, list[Row]] = {
            arm: sorted(store.rows, key=lambda row: str(row["request"]))
            for arm, store in stores.items()
            if store is not None
        }
        seconds = sum(s.seconds for s in stores.values() if s is not None)
        checks = [_read_check(row) for row in rows.pop("health", ())] + list(attack.judge(rows["audit"]))
        scored.append(Scored(attack, protocol, rows, seconds, tuple(checks)))
    card = Scorecard(spec.scoring, spec.seed, len(scene.split.victims))
    trivial = [s for s in scored if s.attack.trivial]
    findings: list[Finding] = []
    for item in scored:
        if item.attack.claim == "reconstruction":
            findings += image_findings(item, trivial, card)
        else:
            findings += identity_findings(item, card)
    findings = add_curves(doubt_misfits(findings), scored)
    verdict, reason = overall(findings, missing)
    cohort = scene.cohort
    return Record(
        dataset=DatasetInfo(
            name=cohort.name,
            fingerprint=cohort.fingerprint,
            subjects=len(cohort.subjects),
            scans=len(cohort),
            shape=cohort.shape,
            voxel_mm=cohort.voxel_mm,
            simulated=cohort.simulated,
            shareable=cohort.shareable,
            split=scene.split.counts(),
            params={k: v if k != "root" or v is None else Path(v).name for k, v in dataset_params.items()},
        ),
        defense=describe_scheme(scene),
        seed=spec.seed,
        findings=findings,
        missing=missing,
        **measured,
        health=[
            Health(attack=item.attack.name, protocol=item.protocol.name, **asdict(check))
            for item in scored
            for check in item.checks
        ],
        verdict=verdict,
        reason=reason,
        settings={
            "scoring": spec.scoring.model_dump(mode="json"),
            "ms_ssim": context.scorer.describe(),
            "split": spec.split.model_dump(mode="json"),
            "attacks": [attack.model_dump(mode="json") for attack in spec.attacks],
        },
        provenance={
            **machine(context.device.type, torch.get_num_threads()),
            "code": {
                "core": core_code(),
                "defense": plugin_code(type(scene.defense)),
                **{attack.name: plugin_code(type(attack)) for attack, _, _ in steps},
            },
            "weights": weights,
            "started": started,
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "jobs": settings.jobs,
        },
    )
