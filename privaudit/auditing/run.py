"""The audit: plan the jobs, execute what is missing, score, write the record."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from privaudit.auditing.executing import UTILITY, Outcomes, execute, sizes
from privaudit.auditing.folders import check_run, clear_run, write_spec
from privaudit.auditing.foretelling import foretold
from privaudit.auditing.jobs import Context, Job
from privaudit.auditing.key_secret import check_secret
from privaudit.auditing.opening import Progress, Settings, open_context, quiet_progress, run_folder
from privaudit.auditing.planning import Steps, all_attacks, learned_by, plan
from privaudit.auditing.pseudonyms import KEY_FILE, check_key, ready_key
from privaudit.auditing.recording import Outcome, make_record, with_limits
from privaudit.auditing.spec import AuditSpec
from privaudit.auditing.store import JobFile, lock, write_table
from privaudit.auditing.utility import check_weights, choose_networks, utility_figures
from privaudit.auditing.witness import look_again
from privaudit.files import claim, write_text
from privaudit.results.record import Missing, Record
from privaudit.results.record_files import dumps
from privaudit.scoring.kinds import kind_of


@dataclass(frozen=True)
class Result:
    """A finished audit: its folder, its record, why each job was computed or reused, and what else had been sent."""

    run: Path
    record: Record
    notes: dict[str, str] = field(default_factory=dict)
    leaks: tuple[str, ...] = ()


def run_audit(
    spec: AuditSpec, settings: Settings | None = None, progress: Progress = quiet_progress,
    say: Callable[[str], None] = lambda text: None,
) -> Result:  # fmt: skip
    """Run an audit, or what a kill left of it, and write ``record.json`` into its folder.

    Args:
        spec: what to audit.
        settings: how to run.
        progress: makes a progress bar per job.
        say: is given one line before the jobs start: how many there are, and roughly how long they take.

    Returns:
        The record and where it lies.

    Raises:
        PrivauditError: bad options or data, or a folder that is somebody else's, before anything is written; or another
            process writes the same run.
    """
    settings = settings or Settings()
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    check_run(run_folder(spec, settings.out))
    check_key(settings.pseudonym_key or run_folder(spec, settings.out) / KEY_FILE)
    check_secret(settings.key_secret)
    all_attacks(spec)  # a misspelt one shows before data are read
    check_weights(spec.utility)
    context, dataset_params = open_context(spec, settings)
    attacks, settings = all_attacks(context.spec), replace(settings, out=context.run)
    look_again(context.scene)
    steps, skipped = plan(context, attacks)
    learned = learned_by(context, attacks)
    networks, note = choose_networks(spec.utility, context.scene)
    with lock(context.run):
        claim(context.run, "run")
        clear_run(context.run)
        write_spec(context.run, spec, context.scene.cohort.shareable)
        ready_key(context.key_file)
        todo = sizes(context, steps, utility=networks is not None)
        scene = context.scene
        say(foretold(todo, scene.cohort.shape, settings.jobs, scene.defense.views, scene.seconds_per_scan))
        found = execute(context, settings, todo, progress)
        steps = with_limits(context, steps, _finished(found))
        failed = {(item.attack, item.protocol) for item in _missing(found)}
        limits = {
            job: size
            for job, size in sizes(context, steps, utility=False).items()
            if job not in found and (job.attack, job.protocol) not in failed
        }
        found |= execute(context, settings, limits, progress)
        missing = _missing(found)
        utility, _ = found.pop(UTILITY, (None, ""))
        done = _finished(found)
        scheme = context.scene.defense.trained
        weights = [] if scheme is None else [{"name": scheme.name, "sha256": scheme.digest}]
        weights += [item for item in ([] if networks is None else networks.used) if item not in weights]
        weights += [{"name": item.name, "sha256": item.digest} for items in learned.values() for item in items]
        figures = [] if utility is None else utility_figures(utility.rows, context)
        outcome = Outcome(steps, done, missing, skipped, figures, note, weights)
        record = make_record(context, dataset_params, outcome, started, settings.jobs)
        for store in _tellable(context, steps, done):
            write_table(store, context.run / "tables")
        write_text(context.run / "record.json", dumps(record))
    notes = {job.name: store.note for job, store in done.items()}
    notes |= {} if utility is None else {"utility": utility.note}
    return Result(context.run, record, notes, context.scene.leaks)


def _finished(found: Outcomes) -> dict[Job, JobFile]:
    return {job: store for job, (store, _) in found.items() if store is not None}


def _tellable(context: Context, steps: Steps, done: Mapping[Job, JobFile]) -> list[JobFile]:
    """Jobs whose rows may stand in tables."""
    private = {attack.name for attack, _, _ in steps if kind_of(attack).private_rows}
    return [store for job, store in done.items() if context.scene.cohort.shareable or job.attack not in private]


def _missing(found: Outcomes) -> list[Missing]:
    """What failed and why, each once: arms of one protocol often fail alike."""
    lost = (Missing(attack=j.attack, protocol=j.protocol, error=why) for j, (store, why) in found.items() if not store)
    return list(dict.fromkeys(lost))
