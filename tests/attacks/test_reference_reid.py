"""Whose scan was mixed in: owners are found where they can be, and nothing tells them before a look."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from privaudit.auditing.conformance import check_attack
from privaudit.auditing.opening import Settings, open_context
from privaudit.auditing.run import run_audit
from privaudit.auditing.scene import Scene
from privaudit.auditing.spec import AuditSpec, parse_spec
from privaudit.cohorts.toy import ToyCohort
from privaudit.contracts import plugin
from privaudit.contracts.attack import Attack, Protocol
from privaudit.contracts.cohort import ScanId, split_subjects
from privaudit.contracts.defense import Defense
from privaudit.contracts.knowledge import Rung
from privaudit.errors import PluginError
from privaudit.results.overall import Verdict
from privaudit.results.record import Finding, Record
from privaudit.scoring.kinds import whose

SPLIT = {"victims": 0.4, "pool": 0.3, "population": 0.3}
NEVER = {"victims": 0.2, "pool": 0.6, "population": 0.2}
Blobs = Callable[..., dict[str, Any]]


def spec(blobs: Blobs, defense: Any, people: int = 48, sessions: int = 2, **more: Any) -> AuditSpec:
    data = {"split": SPLIT, "controls": "single", "utility": {"weights": "none"}, **more}
    asked = data.pop("asked", "reference-reid")
    return parse_spec(blobs(defense, [asked], dataset={"subjects": people, "sessions": sessions}, **data), "test")


def audited(made: AuditSpec, run: Path) -> Record:
    return run_audit(made, Settings(out=run, device="cpu")).record


def figures(record: Record, metric: str = "map") -> dict[str, Finding]:
    return {f.protocol: f for f in record.findings if f.attack == "reference-reid" and f.metric == metric}


def test_references_that_are_used_again_name_their_owners(blobs: Blobs, tmp_path: Path) -> None:
    record = audited(spec(blobs, {"name": "mixup", "views": 6, "patch_size": None}), tmp_path / "run")
    found = figures(record)
    assert found["joint"].verdict is Verdict.LEAK
    assert (found["joint"].estimate or 0) > 0.95
    assert figures(record, "rank1")["joint"].estimate == pytest.approx(1, abs=0.05)
    for finding in found.values():
        assert finding.victim == "reference"
        assert whose(finding) == " → reference"
        assert finding.n_subjects <= record.dataset.split["pool"] < finding.n_scans
        assert finding.control is not None
        assert finding.control.passed
        assert finding.notes == ["the attacker's scan of each of these people is another one than was mixed in"]
        assert finding.curves[0].x[-1] == record.dataset.split["pool"] + record.dataset.split["population"]
        assert not set(finding.knowledge) & {"atlas", "population", "pool", "gallery"}
    assert found["joint"].knowledge == ["candidates", "transcript", "views"]
    assert found["looking"].knowledge == ["candidates", "transcript"]


def test_one_view_and_no_reference_used_again_reads_no_better_than_looking(blobs: Blobs, tmp_path: Path) -> None:
    defense = {"name": "mixup", "views": 1, "patch_size": None, "reference_reuse": "never"}
    found = figures(audited(spec(blobs, defense, people=40, split=NEVER), tmp_path / "run"))
    joint, looking = found["joint"], found["looking"]
    assert joint.knowledge == looking.knowledge == ["candidates", "transcript"]
    assert joint.n_subjects == joint.n_scans == 16
    assert joint.estimate is not None
    assert looking.estimate is not None
    assert joint.estimate <= looking.estimate + 0.05


def test_the_contract_is_kept(tmp_path: Path) -> None:
    """The planted leak is found, noise is none, and references as they are leak."""
    found = list(check_attack("reference-reid", None, tmp_path))
    assert [item.what for item in found if not item.passed] == []
    assert len(found) == 5


def test_few_people_and_the_very_scans_are_said_to_be(blobs: Blobs, tmp_path: Path) -> None:
    """One session each: no other attack on identity could run."""
    found = figures(audited(spec(blobs, "mixup", people=12, sessions=1), tmp_path / "run"))
    for finding in found.values():
        assert finding.n_subjects < 10
        assert finding.verdict is Verdict.INCONCLUSIVE
        assert "too few to decide" in finding.reason
        assert finding.notes[0].startswith(
            f"of {finding.n_subjects} of {finding.n_subjects} people the attacker holds the very"
        )


@pytest.mark.parametrize("defense", ["none", {"name": "mixup", "references": 2}])
def test_where_nobody_is_the_owner_it_is_not_run(defense: Any, blobs: Blobs, tmp_path: Path) -> None:
    record = audited(spec(blobs, defense, people=12), tmp_path / "run")
    assert not figures(record)
    assert len(record.skipped) == 2
    assert all("exactly one other person" in item.error for item in record.skipped)
    assert record.verdict is Verdict.INCONCLUSIVE


def test_candidates_are_the_pool_and_the_population_by_names_that_tell_nothing(thirdparty: Path) -> None:
    cohort = ToyCohort()
    split = split_subjects(cohort.subjects, 0)
    scene = Scene(cohort, split, plugin.create("defenses", "mixup", Defense, {"patch_size": None}), 3)
    attack = plugin.create("attacks", "reference-reid", Attack)
    entries = scene.knowledge(attack, attack.protocols(10)[0]).candidates
    assert [entry.person for entry in entries] == scene.candidate_people()
    assert len(entries) == len(split.pool) + len(split.population)
    scans = dict(scene.candidate_scans())
    assert {scan.subject for scan in scans.values()} == {*split.pool, *split.population}
    assert {scan.session for scan in scans.values()} == {"2"}  # the first ones are mixed in
    assert all((entry.load().numpy() == cohort.load(scans[entry.person]).image).all() for entry in entries[:3])
    owners = {scans[found[0]].subject for request in scene.requests if (found := scene.candidate(request))}
    assert owners <= set(split.pool)
    pool = [scans[name].subject in split.pool for name in scene.candidate_people()]
    assert pool not in (sorted(pool), sorted(pool, reverse=True))


def test_a_scan_of_whoever_came_once_is_the_one_that_is_mixed_in(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = ToyCohort.sessions_of

    def some(self: ToyCohort, subject: str) -> Sequence[ScanId]:
        return sessions(self, subject)[: 1 + int(subject[-1]) % 2]

    monkeypatch.setattr(ToyCohort, "sessions_of", some)
    cohort = ToyCohort()
    split = split_subjects(cohort.subjects, 0)
    scene = Scene(cohort, split, plugin.create("defenses", "mixup", Defense, {"patch_size": None}), 3)
    scans = dict(scene.candidate_scans())
    for request in scene.requests:
        found = scene.candidate(request)
        assert found is not None
        assert found[1] == (scans[found[0]].session == "1")


@pytest.mark.parametrize("rung", ["atlas", "population", "pool", "gallery"])
def test_who_is_in_the_pool_must_not_be_told_by_another_rung(
    rung: str, blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = plugin.load("attacks", "reference-reid", Attack)
    rungs = frozenset({Rung.TRANSCRIPT, Rung.CANDIDATES, Rung(rung)})
    monkeypatch.setattr(cls, "protocols", lambda *_: (Protocol("x", rungs),))
    with pytest.raises(PluginError, match="looks references up among candidates"):
        audited(spec(blobs, "mixup", people=12), tmp_path / "run")


def test_the_rung_and_what_is_said_of_whom_go_together(
    blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    candidates = Protocol("x", frozenset({Rung.TRANSCRIPT, Rung.CANDIDATES}))
    for name, protocol, told in (
        ("reference-reid", Protocol("x", frozenset({Rung.TRANSCRIPT})), "speaks of references' owners"),
        ("reid", candidates, "looks references up"),
        ("as-is", candidates, "looks references up"),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(plugin.load("attacks", name, Attack), "protocols", lambda *_, p=protocol: (p,))
            with pytest.raises(PluginError, match=told):
                audited(spec(blobs, "mixup", people=12, asked=name), tmp_path / name)


def test_names_in_files_are_pseudonyms_of_candidates_too(blobs: Blobs, tmp_path: Path) -> None:
    context, _ = open_context(spec(blobs, "mixup", people=12), Settings(out=tmp_path / "run", device="cpu"))
    names = context.scene.all_names()
    assert {name for name in names if name[0] == "C"} == set(context.scene.candidate_people())
    assert len(set(names)) == len(names)
    assert np.all([len(name) == 4 for name in context.scene.candidate_people()])
