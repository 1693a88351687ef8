"""From finished jobs to the record of an audit."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from privaudit.auditing.jobs import Context, Job
from privaudit.auditing.planning import Steps
from privaudit.auditing.scene import Scene
from privaudit.auditing.store import JobFile
from privaudit.contracts.attack import Attack, Check, Protocol
from privaudit.contracts.cohort import count_seen
from privaudit.contracts.knowledge import Rung
from privaudit.paths import told
from privaudit.provenance import core_code, machine, plugin_code
from privaudit.results.overall import Verdict, overall
from privaudit.results.record import DatasetInfo, DefenseInfo, Finding, Health, Missing, Record, Utility
from privaudit.scoring.arms import GRADED, Arm
from privaudit.scoring.curves import add_curves
from privaudit.scoring.kinds import kind_of
from privaudit.scoring.rows import Row
from privaudit.scoring.scorecard import Scorecard, Scored


def describe_scheme(scene: Scene) -> DefenseInfo:
    """The scheme, and what must be known of what it sends, and of how it was trained, if it was."""
    notes = [*scene.told, *scene.defense.notes]
    if scene.off_grid is not None:
        sides = " × ".join(map(str, scene.off_grid))
        notes.append(
            f"what is sent is not on the image's grid, but {sides} numbers: 'values' and 'values-reid' read them all,"
            " other attacks see them as an image, resampled or as the scheme shows it; for planted leaks the raw image,"
            " made to fit into so many numbers, is mixed into what is sent"
        )
    if not scene.defense.answers:
        notes.append("nothing is known of what a server sends back: maps were not attacked")
    info = DefenseInfo(name=scene.defense.name, params=told(scene.defense.params), notes=notes)
    trained = scene.defense.trained
    if trained is None:
        return info
    training = trained.config.training
    notes += [str(doubt) for doubt in training.get("doubts", [])]
    attackers = scene.split.population
    if seen := count_seen(trained.config.people, scene.cohort, attackers):
        notes.append(
            f"the scheme was trained on {seen} of the {len(attackers)} people whom the attacker learns from:"
            " an attacker with others may do better"
        )
    return info.model_copy(update={"flaws": [str(flaw) for flaw in training.get("collapsed", [])], "notes": notes})


def _read_check(row: Row) -> Check:
    return Check(**{key: value for key, value in row.items() if key != "request"})


def _told(check: Check) -> dict[str, Any]:
    """What a record says of a check; that an attack does not fit is said of its findings."""
    return {name: value for name, value in asdict(check).items() if name != "fits"}


def score_jobs(steps: Steps, done: Mapping[Job, JobFile]) -> list[Scored]:
    """Finished jobs by attack and protocol, with the attacks' checks of themselves."""
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
    return scored


def judge(context: Context, scored: Sequence[Scored]) -> list[Finding]:
    """Findings of everything that was scored, by the kinds of the claims."""
    scene = context.scene
    card = Scorecard(context.spec.scoring, context.spec.seed, len(scene.split.victims), scene.cohort.shareable)
    findings: list[Finding] = []
    for item in scored:
        beside = [other for other in scored if other.attack.trivial and other.attack.claim == item.attack.claim]
        findings += kind_of(item.attack).findings(item, beside, card)
    return add_curves(findings, scored)


def with_limits(context: Context, steps: Steps, done: Mapping[Job, JobFile]) -> Steps:
    """The same with smaller planted leaks for cheap attacks that found nothing, where the specification says 'auto'.

    Where the scheme leaks anyway, a small planted leak is found for that alone, and a detection limit says nothing.
    Only what is needed to know that is judged: the rest will be when all is done.
    """

    def cheap(attack: Attack, protocol: Protocol) -> bool:
        return attack.cheap and protocol.cheap

    if context.spec.controls != "auto":
        return steps
    needed = [(a, p, arms) for a, p, arms in steps if a.trivial or cheap(a, p)]
    findings = judge(context, score_jobs(needed, done))
    leaky = {(f.attack, f.protocol) for f in findings if f.verdict is Verdict.LEAK}
    return [
        (a, p, [*arms, *GRADED] if cheap(a, p) and "planted" in arms and (a.name, p.name) not in leaky else arms)
        for a, p, arms in steps
    ]


@dataclass(frozen=True)
class Outcome:
    """What an audit's jobs have left.

    Attributes:
        steps: what was planned.
        done: finished jobs.
        missing: what was asked for and did not finish.
        skipped: what an attack offers and this audit cannot run, and why.
        utility: how well the task is done.
        utility_note: why that was not measured; empty if it was.
        weights: name and hash of everything trained that was used.
    """

    steps: Steps
    done: Mapping[Job, JobFile]
    missing: list[Missing]
    skipped: list[Missing]
    utility: list[Utility]
    utility_note: str
    weights: list[dict[str, str]]


def make_record(
    context: Context, dataset_params: Mapping[str, Any], outcome: Outcome, started: str, processes: int
) -> Record:
    """Score, decide, and write down what it took.

    Args:
        context: the audit.
        dataset_params: options of the dataset; of paths among all options only the last part is told.
        outcome: of its jobs.
        started: when, as ISO 8601.
        processes: how many worked on it.
    """
    spec, scene = context.spec, context.scene
    scored = score_jobs(outcome.steps, outcome.done)
    findings = [_by_wire(finding) if scene.source else finding for finding in judge(context, scored)]
    verdict, reason = overall(findings, outcome.missing)
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
            params=told(dataset_params),
            notes=[*cohort.notes, *([] if cohort.labelled else ["there are no label maps: no maps were attacked"])],
        ),
        defense=describe_scheme(scene),
        seed=spec.seed,
        findings=[finding.model_copy(update={"params": told(finding.params)}) for finding in findings],
        missing=outcome.missing,
        skipped=outcome.skipped,
        utility=outcome.utility,
        utility_note=outcome.utility_note,
        health=[
            Health(attack=item.attack.name, protocol=item.protocol.name, **_told(check))
            for item in scored
            for check in item.checks
        ],
        verdict=verdict,
        reason=reason,
        settings={
            "scoring": spec.scoring.model_dump(mode="json"),
            "ms_ssim": context.scorer.describe(),
            "split": spec.split.told,
            "battery": spec.battery,
            "pictures": spec.pictures.model_dump(mode="json"),
            "controls": spec.controls,
            "attacks": [attack.told() for attack in spec.attacks],
        },
        provenance={
            **machine(context.device.type, torch.get_num_threads()),
            "code": _code(scene, [attack for attack, _, _ in outcome.steps]),
            "weights": outcome.weights,
            "key_secret": bool(scene.key_mark),
            "started": started,
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "jobs": processes,
        },
    )


def _by_wire(finding: Finding) -> Finding:
    """The finding of an attacker who had transcripts from captured traffic."""
    if Rung.TRANSCRIPT not in finding.knowledge:
        return finding
    return finding.model_copy(update={"knowledge": sorted([*finding.knowledge, str(Rung.WIRE)])})


def _code(scene: Scene, attacks: Sequence[Attack]) -> dict[str, str]:
    """Hashes of the source of everything that had a part in the figures."""
    core = core_code()
    kinds = {f"claims {attack.claim}": plugin_code(type(kind_of(attack))) for attack in attacks}
    return {
        "core": core,
        "defense": plugin_code(type(scene.defense)),
        **{attack.name: plugin_code(type(attack)) for attack in attacks},
        **{name: code for name, code in kinds.items() if code != core},
    }
