"""Claims of label maps: which can be scored, how, and what findings say of them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from privaudit.contracts.attack import Attack, Protocol
from privaudit.contracts.claims import LabelMap, Reconstruction
from privaudit.contracts.knowledge import Rung
from privaudit.errors import ClaimError
from privaudit.results.overall import Verdict
from privaudit.scoring.kind import Asked
from privaudit.scoring.labelmaps.kind import LabelMapKind
from privaudit.scoring.overlap import dice
from privaudit.scoring.scorecard import Scorecard, Scored
from privaudit.scoring.settings import ScoringSpec
from privaudit_attacks.decode_maps import DecodeMapsAttack
from privaudit_attacks.frequent_labels import FrequentLabelsAttack
from privaudit_attacks.random_map import RandomMapAttack

SHAPE = (4, 4, 4)
RNG = np.random.default_rng(0)
TRUTH, OTHER = (RNG.integers(0, 4, SHAPE) for _ in range(2))
LOOKS = Protocol("x", frozenset({Rung.TRANSCRIPT, Rung.RETURNED}))


class Told:
    """Secrets of one request."""

    def __init__(self, other: NDArray[np.int64] | None = OTHER, truth: NDArray[np.int64] = TRUTH) -> None:
        self.cohort: Any = SimpleNamespace(shape=SHAPE, label_names={0: "background", 1: "CSF", 2: "GM", 3: "WM"})
        self.other, self.labels, self.asked_of_client = other, truth, list[tuple[int, bool]]()

    def truth(self, request: str) -> Any:
        return SimpleNamespace(labels=self.labels)

    def bystander(self, request: str) -> None:
        return None

    def bystander_labels(self, request: str) -> NDArray[np.int64] | None:
        return self.other

    def client_labels(self, request: str, views: int, served: bool) -> NDArray[np.int64]:
        self.asked_of_client.append((views, served))
        return self.labels

    def person(self, request: str) -> str:
        return "P001"

    def owner(self, request: str) -> str | None:
        return None if self.other is None else "R001"

    def gallery_people(self) -> list[str]:
        return []

    def alpha_fifth(self, request: str) -> int | None:
        return 3


def row(claim: LabelMap, told: Told | None = None, attack: Attack | None = None, protocol: Protocol = LOOKS) -> Any:
    secrets = Told() if told is None else told
    asked = Asked(attack or DecodeMapsAttack(), protocol, ("r0",), secrets, None, 0, lambda _: None)  # type: ignore[arg-type]
    (found,) = LabelMapKind().score([claim], asked)
    return found


def test_dice_is_that_of_each_structure_and_their_mean() -> None:
    guess = np.where(TRUTH == 2, 3, TRUTH)
    found = row(LabelMap("r0", guess, OTHER))
    expected = [dice(guess, TRUTH, label) for label in (1, 2, 3)]
    assert [found[f"dice {name}"] for name in ("CSF", "GM", "WM")] == pytest.approx(expected, abs=1e-6)
    assert found["map_dice"] == pytest.approx(np.mean([v or 0 for v in expected]), abs=1e-6)
    assert found["reference_map_dice"] == 1
    assert (found["exact"], found["reference_exact"]) == (False, True)
    assert found["client_dice"] == 1
    assert found["owner"] == "R001"


def test_the_order_is_the_scorers_only_where_the_attacker_knows_none() -> None:
    assert row(LabelMap("r0", OTHER, TRUTH))["map_dice"] < 0.5
    found = row(LabelMap("r0", OTHER, TRUTH, exchangeable=True))
    assert (found["map_dice"], found["reference_map_dice"], found["order"]) == (1, 1, "swapped")
    assert "order" not in row(LabelMap("r0", TRUTH, exchangeable=True), Told(other=None))


def test_one_map_is_scored_for_both() -> None:
    assert row(LabelMap("r0", OTHER))["reference_map_dice"] == 1
    assert "reference_map_dice" not in row(LabelMap("r0", OTHER), Told(other=None))


def test_without_structures_an_empty_map_is_right() -> None:
    told = Told(other=None, truth=np.zeros(SHAPE, dtype=np.int64))
    assert row(LabelMap("r0", np.zeros(SHAPE, dtype=np.int64)), told)["map_dice"] == 1
    assert row(LabelMap("r0", TRUTH), told)["map_dice"] == 0


def test_the_client_is_asked_for_the_same_maps_and_only_beside_who_looks() -> None:
    told = Told()
    row(LabelMap("r0", TRUTH), told, protocol=Protocol("x", LOOKS.knowledge | {Rung.SERVED, Rung.VIEWS}, views=3))
    row(LabelMap("r0", TRUTH), told)
    assert told.asked_of_client == [(3, True), (1, False)]
    assert "client_dice" not in row(LabelMap("r0", TRUTH), told, RandomMapAttack())
    assert len(told.asked_of_client) == 2


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((2, 2, 2), dtype=np.int64), r"another shape; got \(2, 2, 2\); allowed: \(4, 4, 4\)"),
        (np.zeros(SHAPE), "no whole numbers; got float64; allowed: integers"),
        (np.full(SHAPE, -1), "negative labels; got -1"),
        (np.full(SHAPE, 4), "a label that there is not; got 4; allowed: 0 to 3"),
    ],
)
@pytest.mark.parametrize("which", ["labels", "reference"])
def test_a_map_that_cannot_be_scored_is_refused_in_one_line(labels: Any, message: str, which: str) -> None:
    maps = {"labels": TRUTH, "reference": OTHER} | {which: labels}
    with pytest.raises(ClaimError, match=message) as error:
        row(LabelMap("r0", **maps))
    assert "\n" not in str(error.value)


def test_a_picture_is_no_label_map() -> None:
    with pytest.raises(ClaimError, match="something that was not asked"):
        row(Reconstruction("r0", torch.zeros(SHAPE)))  # type: ignore[arg-type]


def scored(attack: Attack, level: float, planted: float | None = None) -> Scored:
    def made(dice: float) -> list[dict[str, Any]]:
        looks = {"client_dice": 0.9} if attack.reads_transcript else {}
        return [
            {"request": f"r{n:04d}", "person": f"P{n:03d}", "owner": f"R{n:03d}", "map_dice": dice + 0.001 * (n % 3),
             "reference_map_dice": dice, "exact": n < 4, "reference_exact": False, "dice CSF": dice - 0.1,
             "dice GM": dice + 0.1, "reference_dice CSF": dice, **looks}
            for n in range(24)
        ]  # fmt: skip

    arms: dict[Any, Any] = {"audit": made(level)}
    if planted is not None:
        arms |= {"planted": made(planted), "planted-reference": made(planted)}
    return Scored(attack, next(iter(attack.protocols(1))), arms, 1.0)


@pytest.mark.parametrize(
    ("level", "planted", "verdict"),
    [(0.9, 0.95, Verdict.LEAK), (0.6, 0.95, Verdict.NO_LEAK_DETECTED), (0.6, 0.6, Verdict.INCONCLUSIVE),
     (0.3, 0.95, Verdict.INCONCLUSIVE)],
)  # fmt: skip
def test_a_finding_needs_both_who_do_not_look_a_control_and_says_what_the_client_gets(
    level: float, planted: float, verdict: Verdict
) -> None:
    card = Scorecard(ScoringSpec(resamples=500), 0, 24)
    blind = [scored(FrequentLabelsAttack(), 0.6), scored(RandomMapAttack(), 0.5)]
    kind = LabelMapKind()
    target, reference = kind.findings(scored(DecodeMapsAttack(), level, planted), blind, card)
    assert (target.victim, reference.victim) == ("target", "reference")
    assert target.verdict is verdict, target.reason
    assert reference.verdict is verdict, reference.reason
    assert target.baseline is not None
    assert target.baseline.name == "frequent-labels"
    assert target.margin == 0.05
    assert target.details["dice CSF"] == pytest.approx(level - 0.1)
    assert target.details["dice GM"] == pytest.approx(level + 0.1)
    assert target.details["exact"] == pytest.approx(4 / 24)
    assert target.details["client"] == 0.9
    assert "client" not in reference.details
    assert "dice GM" not in reference.details
    assert "gets Dice 0.900 from the same maps" in " ".join(target.notes)
    sentence = kind.sentence(target, None)  # type: ignore[arg-type]
    assert "the client itself 0.900" in sentence
    assert "frequent-labels" in sentence
    cells = kind.cells(target, None)  # type: ignore[arg-type]
    assert cells is not None
    assert len(cells) == len(kind.words.columns)


def test_with_one_of_the_two_missing_nothing_is_decided() -> None:
    card = Scorecard(ScoringSpec(resamples=500), 0, 24)
    (target, _) = LabelMapKind().findings(scored(DecodeMapsAttack(), 0.9, 0.95), [scored(RandomMapAttack(), 0.5)], card)
    assert target.verdict is Verdict.INCONCLUSIVE


def test_more_people_notice_a_smaller_lead() -> None:
    few, many = (
        LabelMapKind().power(n, 1, ScoringSpec(), np.random.default_rng(0))[0].split("a lead of ")[1][:6]
        for n in (12, 100)
    )
    assert float(many) < float(few)
    assert float(many) > ScoringSpec().margin_map
