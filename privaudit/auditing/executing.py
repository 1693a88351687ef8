"""Executing what an audit plans, in this process or in several; a failure is kept as text, and the rest goes on."""

from __future__ import annotations

import os
import traceback
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import joblib
import torch

from privaudit.auditing.jobs import Advance, Context, Job, job_size, run_job
from privaudit.auditing.opening import Progress, Settings, open_context
from privaudit.auditing.planning import Steps, all_attacks
from privaudit.auditing.spec import AuditSpec
from privaudit.auditing.store import JobFile
from privaudit.auditing.telling import without_names
from privaudit.auditing.utility import choose_networks, probes, run_utility
from privaudit.auditing.witness import encodings_of
from privaudit.errors import DataError, OptionError, PrivauditError, WriteError
from privaudit.files import private_files, write_text
from privaudit.memory import keep_pages
from privaudit.paths import paths_in
from privaudit.scoring.arms import ARM_WORDS, SHARES

UTILITY: Final = Job("utility", "segmentation", "audit")
"""Segmenting the victims' scans: no attack, but work like theirs."""
Outcomes = dict[Job, tuple[JobFile | None, str]]
"""What each job left: its rows, or None and why there are none."""


def sizes(context: Context, steps: Steps, utility: bool) -> dict[Job, int]:
    """Every job, and in how many units it advances."""
    found = {Job(a.name, p.name, arm): job_size(context, a, p, arm) for a, p, arms in steps for arm in arms}
    return found | ({UTILITY: len(probes(context.spec.utility, context.scene))} if utility else {})


def execute(context: Context, settings: Settings, todo: Mapping[Job, int], progress: Progress) -> Outcomes:
    """Run jobs, or what a kill left of them.

    Args:
        context: the audit.
        settings: how to run.
        todo: jobs, and in how many units each advances.
        progress: makes a progress bar per job.

    Raises:
        DataError: data that cannot be read.
        WriteError: the disk is full, or the run folder cannot be written any more.
        OptionError: options that do not fit.
    """
    spec = context.spec
    keep_pages()
    if settings.jobs == 1:
        return {job: _one(spec, settings, job, progress(title_of(job), total)) for job, total in todo.items()}
    # One bar per job cannot be fed from other processes, so here each jumps when its job ends.
    bars: dict[Job, Callable[[float], None]] = {job: progress(title_of(job), total) for job, total in todo.items()}
    threads = max(1, (os.cpu_count() or 1) // settings.jobs)
    # The costly attacks of the battery stand last in it: begun first, they leave short jobs to fill the end.
    units = reversed(together(context, list(todo)))
    calls = (joblib.delayed(_worker)(spec, settings, unit, threads, encodings_of(context.scene)) for unit in units)
    # Workers are replaced when they have grown; what they had learned is learned again, and nobody need know.
    warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
    found: Outcomes = {}
    for outcomes in joblib.Parallel(n_jobs=settings.jobs, return_as="generator_unordered", batch_size=1)(calls):
        found |= outcomes
        for job in outcomes:
            bars[job](todo[job])
    return {job: found[job] for job in todo}


def together(context: Context, jobs: Sequence[Job]) -> list[list[Job]]:
    """Jobs in groups that learn the same: what a process has learned it keeps, and other processes do not have it.

    An attack learns anew for each scheme, leaky ones among them, and for each number of views.
    """
    sent = context.scene.defense.views
    views = {(a.name, p.name): p.views for a in all_attacks(context.spec) for p in a.protocols(sent)}
    groups: dict[tuple[object, ...], list[Job]] = {}
    for job in jobs:
        leak = job.arm if job.arm in SHARES else ""
        groups.setdefault((job.attack, views.get((job.attack, job.protocol)), leak), []).append(job)
    return list(groups.values())


def _worker(spec: AuditSpec, settings: Settings, jobs: Sequence[Job], threads: int, encodings: str) -> Outcomes:
    torch.set_num_threads(threads)
    keep_pages()
    scene = open_context(spec, settings)[0].scene
    scene.encodings = scene.encodings or encodings  # what is sent was looked at before work was handed out
    return {job: _one(spec, settings, job, lambda _: None) for job in jobs}


def _one(spec: AuditSpec, settings: Settings, job: Job, advance: Advance) -> tuple[JobFile | None, str]:
    """Run one job; a plugin's failure is kept as text; bad data, bad options and full disks are raised."""
    context, _ = open_context(spec, settings)
    with private_files():
        try:
            return _rows(context, job, advance), ""
        except (DataError, OptionError, WriteError):
            raise
        except Exception as error:
            where = f"jobs/{job.attack if job == UTILITY else job.name}.error.txt"
            write_text(context.run / where, _tellable(traceback.format_exc(), context))
            # A plugin's message may hold names of files and people in ways that nobody has foreseen.
            own = context.scene.cohort.shareable or isinstance(error, PrivauditError)
            return None, f"{type(error).__name__}: {_tellable(str(error), context) if own else f'see {where}'}"


def _tellable(text: str, context: Context) -> str:
    """A message as it may stand in files."""
    renamed = text if context.names is None else context.names.in_text(text)
    return without_names(renamed, context.scene.cohort, paths_in(context.spec.model_dump()))


def _rows(context: Context, job: Job, advance: Advance) -> JobFile | None:
    if job == UTILITY:
        networks, _ = choose_networks(context.spec.utility, context.scene)
        assert networks is not None
        return run_utility(context, networks, advance)
    attack = next(a for a in all_attacks(context.spec) if a.name == job.attack)
    protocol = next(p for p in attack.protocols(context.scene.defense.views) if p.name == job.protocol)
    return run_job(context, attack, protocol, job, advance)


def title_of(job: Job) -> str:
    """What a job does, in words.

    >>> title_of(Job("reid", "encoded", "planted"))
    'reid encoded, with 90% of the raw image planted'
    """
    return "utility: segmenting scans" if job == UTILITY else f"{job.attack} {job.protocol}, {ARM_WORDS[job.arm]}"
