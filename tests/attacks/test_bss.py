"""Separation with a score prior, end to end: what it adds, what it refuses, what its figures stand beside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from privaudit.auditing.opening import Settings
from privaudit.auditing.run import run_audit
from privaudit.auditing.scene import Scene
from privaudit.auditing.spec import parse_spec
from privaudit.contracts import plugin
from privaudit.contracts.attack import Attack, Facts, Task
from privaudit.contracts.cohort import Dataset, split_subjects
from privaudit.contracts.defense import Defense
from privaudit.errors import OptionError
from privaudit.prior.separation import even_shares
from privaudit.prior.weights import score_sources
from privaudit.results.overall import Verdict
from privaudit.results.record import Finding
from privaudit_attacks import bss

Blobs = Callable[..., dict[str, Any]]


def audited(
    blobs: Blobs,
    out: Path,
    prior: Path,
    defense: dict[str, Any] | None = None,
    side: int = 32,
    subjects: int = 8,
    **options: Any,
) -> Any:
    chosen = {"name": "mixup", "alpha": 0.65, "views": 1} if defense is None else defense
    attack = {"name": "bss", "prior": str(prior), "levels": 5, **options}
    return run_audit(
        parse_spec(
            blobs(chosen, [attack], dataset={"subjects": subjects, "sessions": 1, "flat": True, "side": side}), "test"
        ),
        Settings(out=out),
    )


def main_figure(record: Any, attack: str = "bss", victim: str = "target") -> Finding:
    (found,) = [f for f in record.primary() if (f.attack, f.victim) == (attack, victim)]
    return found  # type: ignore[no-any-return]


@pytest.mark.slow
def test_its_figures_stand_beside_every_trivial_attackers(blobs: Blobs, blob_prior: Path, tmp_path: Path) -> None:
    result = audited(blobs, tmp_path / "run", blob_prior, subjects=32, alpha="known")
    finding = main_figure(result.record)
    beside = {c.name: c for c in finding.comparisons}
    assert set(beside) == {"as-is", "atlas", "random-subject", "wiener"}
    assert finding.verdict is Verdict.LEAK
    assert {"name", "sha256"} == set(result.record.provenance["weights"][-1])
    assert finding.by_alpha == pytest.approx({"0.6-0.8": finding.estimate}, abs=1e-5)
    assert finding.notes == [], "known weights say which source is which"


@pytest.mark.slow
def test_some_patches_are_compared_on_the_same_ones(blobs: Blobs, blob_prior: Path, tmp_path: Path) -> None:
    """With one patch per volume of one patch, a claim of some patches is the claim of all."""
    both = [
        audited(
            blobs, tmp_path / str(n), blob_prior, patches=n, alpha="known", levels=2,
            defense={"name": "mixup", "alpha": 0.65, "views": 1, "stride": 4},
        ).record
        for n in (1, None)
    ]  # fmt: skip
    one, whole = (main_figure(record) for record in both)
    assert one.baseline is not None
    assert whole.baseline is not None
    assert one.baseline.estimate == pytest.approx(whole.baseline.estimate, abs=1e-6)


@pytest.mark.slow
def test_an_order_that_nobody_knows_is_resolved_by_the_scorer(blobs: Blobs, blob_prior: Path, tmp_path: Path) -> None:
    record = audited(blobs, tmp_path / "run", blob_prior, alpha="unknown", levels=2).record
    assert "resolved by the scorer" in main_figure(record).notes[0]


def test_a_prior_that_has_seen_the_victims_is_refused(blobs: Blobs, blob_prior: Path, tmp_path: Path) -> None:
    attack = {"name": "bss", "prior": str(blob_prior)}
    spec = parse_spec(blobs("mixup", [attack], dataset={"subjects": 32, "flat": True}, seed=3), "test")
    with pytest.raises(OptionError, match="trained on . of the 16 people under test"):
        run_audit(spec, Settings(out=tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_without_a_prior_the_command_that_trains_one_is_named(blobs: Blobs, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="privaudit train --prior --dataset blobs"):
        run_audit(parse_spec(blobs("mixup", ["bss"]), "test"), Settings(out=tmp_path / "run"))


def test_sources_that_miss_the_mixture_are_complained_of() -> None:
    assert all(check.passed for check in bss.BssAttack().judge([{"residual": 0.001}]))
    (check,) = bss.BssAttack().judge([{"residual": 0.2}])
    assert not check.passed
    assert "residual of the mixture" in str(check)


def test_pooling_patches_gives_the_figures_of_the_volume() -> None:
    from privaudit.scoring.images import choose_scorer, pool

    generator = torch.Generator().manual_seed(0)
    truth = torch.rand((64, 32, 32), generator=generator)
    claim = (truth + 0.1 * torch.randn(truth.shape, generator=generator)).clamp(0, 1)
    brain = np.ones(truth.shape, dtype=bool)
    scorer = choose_scorer((64, 32, 32), 32, "auto", "fast")
    found, whole = pool(scorer.by_patch(claim, truth, brain)), scorer.score(claim, truth, brain)
    assert found == pytest.approx(whole, abs=1e-6)


def test_several_references_weigh_what_they_weigh_in_the_mixture() -> None:
    shares = even_shares(3)
    torch.testing.assert_close(shares, torch.full((3,), 1 / 3))


@pytest.mark.slow
def test_references_restarts_and_evaluations(blobs: Blobs, blob_prior: Path, tmp_path: Path) -> None:
    """Three references are separated and put together; the best of restarts says so; evaluations are a curve."""
    defense = {"name": "mixup", "alpha": 0.65, "views": 1, "references": 3}
    options: dict[str, Any] = {"alpha": "known", "levels": 2, "restarts": 2, "claim": "best", "evaluations": [5]}
    record = audited(blobs, tmp_path / "run", blob_prior, defense, subjects=12, **options).record
    assert not record.missing
    finding = main_figure(record)
    assert finding.notes == ["an upper bound: the best of 2 pictures, chosen with the truth"]
    (curve,) = finding.curves
    assert curve.x == [3.0, 5.0]
    assert curve.y[0] == pytest.approx(finding.estimate)
    assert main_figure(record, victim="reference").estimate is not None
    (table,) = (tmp_path / "run" / "tables").glob("bss.*known.csv")
    assert "restart_sd" in table.read_text().splitlines()[0]


@pytest.mark.slow
def test_a_volume_sent_whole_is_cut_separated_and_put_together(blobs: Blobs, blob_prior: Path, tmp_path: Path) -> None:
    defense = {"name": "mixup", "alpha": 0.65, "views": 1, "patch_size": None}
    record = audited(blobs, tmp_path / "run", blob_prior, defense, side=36, alpha="known", levels=2).record
    assert not record.missing
    assert main_figure(record).notes == [], "all patches of each scan"


@pytest.mark.slow
def test_an_attack_that_fails_its_own_checks_cannot_say_no_leak(blobs: Blobs, blob_prior: Path, tmp_path: Path) -> None:
    record = audited(blobs, tmp_path / "run", blob_prior, {"name": "pure-noise"}, levels=3).record
    names = [check.name for check in record.health]
    assert len(names) == len(set(names)) == 8, names
    failed = [check for check in record.health if not check.passed]
    assert failed, "a prior trained for 80 steps is not sound"
    assert main_figure(record).verdict is Verdict.INCONCLUSIVE


def test_a_killed_run_goes_on_with_the_patches_it_had(
    thirdparty: Path, blob_prior: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight overlapping patches in groups of three; the kill falls into the second group."""
    attack = plugin.create(
        "attacks", "bss", Attack, {"prior": str(blob_prior), "alpha": "known", "levels": 2, "batch": 3, "patches": None}
    )
    cohort = plugin.create("datasets", "blobs", Dataset, {"subjects": 8, "side": 40, "flat": True}).open()
    defense = plugin.create("defenses", "mixup", Defense, {"stride": 8})
    scene = Scene(cohort, split_subjects(cohort.subjects, 0), defense, 0)
    (protocol,) = attack.protocols(1)
    score, calls, stop = score_sources, 0, 0

    def counted(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == stop:
            raise KeyboardInterrupt
        return score(*args)

    def recovered(folder: str) -> Any:
        (tmp_path / folder).mkdir(exist_ok=True)
        task = Task(1, torch.device("cpu"), "fast", tmp_path / folder, lambda _: None, defense.scheme, facts)
        transcripts = scene.transcripts(scene.requests[:1], protocol, "audit")
        (claim,) = attack.run(protocol, transcripts, scene.knowledge(attack, protocol), task)
        return claim

    facts = Facts("blobs", cohort.kind, cohort.voxel_mm, 32)
    monkeypatch.setattr("privaudit.prior.separation.score_sources", counted)
    whole = recovered("whole")
    assert calls == 9, "three groups, three evaluations each"
    calls, stop = 0, 5
    with pytest.raises(KeyboardInterrupt):
        recovered("cut")
    assert len(list((tmp_path / "cut").iterdir())) == 1
    calls, stop = 0, 0
    again = recovered("cut")
    assert calls == 6, "the first group is not separated again"
    assert torch.equal(again.image, whole.image)
    assert again.diagnostics == whole.diagnostics
    assert not list((tmp_path / "cut").iterdir())


@pytest.mark.slow
def test_the_card_shows_a_gallery_and_samples_of_the_prior(blobs: Blobs, blob_prior: Path, tmp_path: Path) -> None:
    from privaudit.auditing.folders import spec_of
    from privaudit.cards.pictures import attack_pictures

    audited(blobs, tmp_path / "run", blob_prior, alpha="estimated", levels=3)
    gallery, prior = attack_pictures(Settings(out=tmp_path / "run"), spec_of(tmp_path / "run"))
    assert (gallery.name, prior.name) == ("bss-gallery", "bss-prior")
    assert "3 initialisations" in gallery.caption
    assert gallery.png[:4] == prior.png[:4] == b"\x89PNG"
