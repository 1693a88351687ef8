"""Separation with a score prior, end to end: what it adds, what it refuses, what its figures stand beside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from privaudit.audit import Settings, run_audit
from privaudit.errors import OptionError
from privaudit.record import Finding, Verdict
from privaudit.spec import parse_spec

Blobs = Callable[..., dict[str, Any]]


def audited(blobs: Blobs, out: Path, prior: Path, defense: dict[str, Any] | None = None, **options: Any) -> Any:
    chosen = {"name": "mixup", "alpha": 0.65, "views": 1} if defense is None else defense
    attack = {"name": "bss", "prior": str(prior), "levels": 5, **options}
    return run_audit(
        parse_spec(blobs(chosen, [attack], dataset={"subjects": 32, "sessions": 1, "flat": True}), "test"),
        Settings(out=out),
    )


def main_figure(record: Any, attack: str = "bss", victim: str = "target") -> Finding:
    (found,) = [f for f in record.primary() if (f.attack, f.victim) == (attack, victim)]
    return found  # type: ignore[no-any-return]


@pytest.mark.slow
def test_its_figures_stand_beside_every_trivial_attackers(blobs: Blobs, blob_prior: Path, tmp_path: Path) -> None:
    result = audited(blobs, tmp_path / "run", blob_prior, alpha="known")
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
            blobs, tmp_path / str(n), blob_prior, patches=n, alpha="known", levels=3,
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
    record = audited(blobs, tmp_path / "run", blob_prior, alpha="unknown", levels=3).record
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
    from privaudit_attacks.bss import BssAttack

    assert BssAttack().complaints([{"residual": 0.001}]) == ()
    assert "miss the mixture" in BssAttack().complaints([{"residual": 0.2}])[0]


def test_pooling_patches_gives_the_figures_of_the_volume() -> None:
    import torch

    from privaudit.image_scores import choose_scorer, pool

    generator = torch.Generator().manual_seed(0)
    truth = torch.rand((64, 32, 32), generator=generator)
    claim = (truth + 0.1 * torch.randn(truth.shape, generator=generator)).clamp(0, 1)
    brain = np.ones(truth.shape, dtype=bool)
    scorer = choose_scorer((64, 32, 32), 32, "auto", "fast")
    found, whole = pool(scorer.by_patch(claim, truth, brain)), scorer.score(claim, truth, brain)
    assert found == pytest.approx(whole, abs=1e-6)
