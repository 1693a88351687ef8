"""Verdicts of reconstructions from rows: what the attack's own checks change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from privaudit.contracts.attack import Attack, Check
from privaudit.results.overall import Verdict, overall
from privaudit.scoring.images import METRICS
from privaudit.scoring.reconstruction.kind import ReconstructionKind
from privaudit.scoring.scorecard import Scorecard, Scored
from privaudit.scoring.settings import ScoringSpec
from privaudit.scoring.similarity.kind import SimilarityKind
from privaudit_attacks.as_is import AsIsAttack
from privaudit_attacks.atlas import AtlasAttack
from privaudit_attacks.average import AverageAttack
from privaudit_attacks.random_subject import RandomSubjectAttack
from privaudit_attacks.reid import ReidAttack
from tests.records import ranked

PASSED, FAILED = Check("fit", 0.2, "at least 0.1", True), Check("sampler", 0.05, "at least 0.1", False)


def rows(level: float) -> list[dict[str, Any]]:
    return [
        {"request": f"r{n:04d}", "person": f"P{n:03d}"} | dict.fromkeys(METRICS, level + 0.001 * (n % 3))
        for n in range(12)
    ]


def scored(attack: Attack, audit: float, planted: float | None = None, *checks: Check) -> Scored:
    protocol = next(p for p in attack.protocols(1) if p.primary)
    arms: dict[Any, Any] = {"audit": rows(audit)} | ({} if planted is None else {"planted": rows(planted)})
    return Scored(attack, protocol, arms, 1.0, checks)


@pytest.mark.parametrize(
    ("level", "checks", "verdict"),
    [
        (0.5, (), Verdict.NO_LEAK_DETECTED),
        (0.5, (PASSED,), Verdict.NO_LEAK_DETECTED),
        (0.5, (PASSED, FAILED), Verdict.INCONCLUSIVE),
        (0.8, (FAILED,), Verdict.LEAK),
    ],
)
def test_an_attack_that_fails_its_own_checks_cannot_say_no_leak_but_its_leak_stands(
    level: float, checks: tuple[Check, ...], verdict: Verdict
) -> None:
    trivial = [scored(AtlasAttack(), 0.5), scored(RandomSubjectAttack(), 0.4)]
    card = Scorecard(ScoringSpec(resamples=200), 0, 12)
    found = ReconstructionKind().findings(scored(AverageAttack(), level, 0.95, *checks), trivial, card)
    (main,) = [finding for finding in found if finding.role == "primary"]
    assert main.verdict is verdict, main.reason
    if verdict is Verdict.INCONCLUSIVE:
        assert main.reason == "the attack is not sound: sampler 0.05 (must be at least 0.1)"


@pytest.mark.parametrize(("level", "role", "verdict"), [(0.3, "trivial", None), (0.8, "primary", Verdict.LEAK)])
def test_a_trivial_attacker_may_find_a_leak_but_its_silence_decides_nothing(
    level: float, role: str, verdict: Verdict | None
) -> None:
    """A warped image taken as it is, say, is less like the image than the atlas is: a warp is no protection."""
    as_is = scored(AsIsAttack(), level, 0.95)
    trivial = [as_is, scored(AtlasAttack(), 0.5), scored(RandomSubjectAttack(), 0.4)]
    found = ReconstructionKind().findings(as_is, trivial, Scorecard(ScoringSpec(resamples=200), 0, 12))
    main = next(finding for finding in found if finding.metric == "ms_ssim")
    assert (main.role, main.verdict) == (role, verdict)
    assert overall(found, [])[0] is (Verdict.LEAK if verdict else Verdict.INCONCLUSIVE)
    assert main.control is not None


def test_figures_about_owners_are_clustered_by_owner() -> None:
    """Twelve owners behind forty-eight mixtures are twelve people, and an interval as wide as theirs."""
    rng = np.random.default_rng(0)
    owners = [f"R{n % 12:03d}" for n in range(48)]
    effect = dict(zip(sorted(set(owners)), rng.normal(0, 0.05, 12), strict=True))

    def made(level: float, spread: float) -> list[dict[str, Any]]:
        return [
            {"request": f"r{n:04d}", "person": f"P{n // 2:03d}", "owner": owner}
            | {f"{prefix}{m}": level + spread * effect[owner] for prefix in ("", "reference_") for m in METRICS}
            for n, owner in enumerate(owners)
        ]

    def attack(of: Attack, level: float, spread: float = 0.0) -> Scored:
        arms: dict[Any, Any] = {arm: made(level, spread) for arm in ("audit", "planted", "planted-reference")}
        return Scored(of, next(p for p in of.protocols(1) if p.primary), arms, 1.0)

    blind = [attack(AtlasAttack(), 0.5), attack(RandomSubjectAttack(), 0.4)]
    found = ReconstructionKind().findings(
        attack(AverageAttack(), 0.8, 1.0), blind, Scorecard(ScoringSpec(resamples=2000), 0, 24)
    )
    target, owner = (
        next(f for f in found if (f.victim, f.metric) == (who, "ms_ssim")) for who in ("target", "reference")
    )
    assert (target.n_subjects, owner.n_subjects) == (24, 12)
    assert target.ci is not None
    assert owner.ci is not None
    assert owner.ci[1] - owner.ci[0] > 1.2 * (target.ci[1] - target.ci[0])


@pytest.mark.parametrize(
    ("sign", "verdict", "words"),
    [(1.0, Verdict.LEAK, "beats chance"), (-1.0, Verdict.INCONCLUSIVE, "does not fit this scheme")],
)
def test_matches_that_are_wrong_beyond_chance_are_no_privacy(sign: float, verdict: Verdict, words: str) -> None:
    """A scheme that inverts the contrast makes every person the least similar to itself."""
    n, rng = 96, np.random.default_rng(1)
    truth = np.eye(n) + 0.1 * rng.random((n, n))
    protocol = next(p for p in ReidAttack().protocols(1) if p.name == "raw-gallery")
    arms: dict[Any, Any] = {"audit": ranked(sign * truth), "planted": ranked(truth)}
    found = SimilarityKind().findings(
        Scored(ReidAttack(), protocol, arms, 1.0), [], Scorecard(ScoringSpec(resamples=200), 0, n)
    )  # fmt: skip
    (main,) = [finding for finding in found if finding.role == "primary"]
    assert main.control is not None
    assert main.control.passed
    assert main.verdict is verdict, main.reason
    assert words in main.reason


def test_where_everything_is_equally_similar_more_people_decide_nothing() -> None:
    """MS-SSIM of an image and one of inverted contrast is exactly 0, whoever it is."""
    n = 120
    protocol = next(p for p in ReidAttack().protocols(1) if p.name == "raw-gallery")
    arms: dict[Any, Any] = {"audit": ranked(np.zeros((n, n))), "planted": ranked(np.eye(n))}
    found = SimilarityKind().findings(
        Scored(ReidAttack(), protocol, arms, 1.0), [], Scorecard(ScoringSpec(resamples=200), 0, n)
    )
    (main,) = [finding for finding in found if finding.role == "primary"]
    assert main.verdict is Verdict.INCONCLUSIVE
    assert "for 120 of 120 scans all similarities are equal" in main.reason


def test_verification_supports_with_its_own_direction_and_one_guess_for_each_person() -> None:
    n = 24
    protocol = next(p for p in ReidAttack().protocols(1) if p.name == "raw-gallery")
    first, second = ranked(np.eye(n)), [row | {"guess": None} for row in ranked(np.eye(n))]
    arms: dict[Any, Any] = {"audit": [*first, *second]}
    found = SimilarityKind().findings(
        Scored(ReidAttack(), protocol, arms, 1.0), [], Scorecard(ScoringSpec(resamples=200), 0, n)
    )
    by = {finding.metric: finding for finding in found}
    assert list(by) == list(SimilarityKind.metrics)
    assert {name for name, finding in by.items() if not finding.higher_is_leakier} == {"eer"}
    for name, estimate, chance in (("auc", 1, 0.5), ("eer", 0, 0.5), ("tpr_at_fpr001", 1, 0.001)):
        assert (by[name].role, by[name].estimate, by[name].chance) == ("secondary", estimate, chance)
        ci = by[name].ci
        assert ci is not None
        assert ci[0] <= estimate <= ci[1]
    one = by["epsilon"]
    assert (one.n_subjects, one.n_scans, one.chance) == (n, n, 0)
    few: dict[Any, Any] = {"audit": second}
    rest = SimilarityKind().findings(Scored(ReidAttack(), protocol, few, 1.0), [], Scorecard(ScoringSpec(), 0, n))
    assert "epsilon" not in {finding.metric for finding in rest}, "nobody was asked"


@pytest.mark.parametrize("victim", ["target", "reference"])
def test_no_interval_reaches_beyond_what_a_figure_can_be(victim: str) -> None:
    """Of three people two alike and one apart, a bootstrap-t is tens wide."""
    people = {"P000": 0.95, "P001": 0.951, "P002": 0.2}

    def made(of: Attack, share: float) -> Scored:
        audit = [
            {"request": f"r{n}", "person": name, "owner": f"R{n}", "alpha_fifth": 1}
            | {f"{prefix}{m}": share * level for prefix in ("", "reference_") for m in METRICS}
            for n, (name, level) in enumerate(people.items())
        ]
        return Scored(of, next(p for p in of.protocols(1) if p.primary), {"audit": audit}, 1.0)

    trivial = [made(AtlasAttack(), 0.1), made(RandomSubjectAttack(), 0.05)]
    card = Scorecard(ScoringSpec(resamples=500), 0, 3)
    found = {
        f.metric: f
        for f in ReconstructionKind().findings(made(AverageAttack(), 1), trivial, card)
        if f.victim == victim
    }
    similar, decibels = found["ms_ssim"], found["psnr"]
    assert similar.baseline is not None
    assert similar.baseline.ci is not None
    assert similar.ci is not None
    assert similar.ci[0] == 0
    assert similar.baseline.ci[0] == -1
    assert similar.ci[1] <= 1
    assert similar.baseline.ci[1] <= 1
    assert decibels.ci is not None
    assert 0 == decibels.ci[0] < decibels.ci[1] <= 100
    assert decibels.baseline is not None
    assert decibels.baseline.ci is not None
    assert -100 < decibels.baseline.ci[0] < -1  # what is possible stays as it was
