"""Each way to a verdict, and the invariants: silence without a control is never a pass."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privaudit.results.overall import Verdict, overall
from privaudit.results.record import Control
from privaudit.scoring.stats import clopper_pearson, within
from privaudit.scoring.verdicts import Evidence, decide, fits, unseen_share
from tests import records as made_up

FOUND = Control(description="", estimate=1.0, difference=0.5, ci=(0.4, 0.6), passed=True)
MISSED = Control(description="", estimate=0.1, difference=0.0, ci=(-0.1, 0.1), passed=False)


def verdict(
    difference: float | None = 0.0,
    ci: tuple[float, float] | None = (-0.01, 0.01),
    control: Control | None = FOUND,
    n: int = 24,
    **more: Any,
) -> Verdict:
    return decide(Evidence(difference, ci, "atlas", n, **more), 0.02, control, 10)[0]


def test_clear_of_the_margin_leaks() -> None:
    assert verdict(0.1, (0.05, 0.15)) is Verdict.LEAK


def test_a_leak_needs_no_control() -> None:
    assert verdict(0.1, (0.05, 0.15), None) is Verdict.LEAK


def test_within_the_margin_passes_only_with_a_found_control() -> None:
    assert verdict() is Verdict.NO_LEAK_DETECTED
    assert verdict(control=MISSED) is Verdict.INCONCLUSIVE
    assert verdict(control=None) is Verdict.INCONCLUSIVE


def test_straddling_decides_nothing() -> None:
    assert verdict(0.02, (-0.01, 0.05)) is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(
    ("ahead", "behind", "expected"),
    [
        (0, 0, Verdict.NO_LEAK_DETECTED),
        (1, 0, Verdict.NO_LEAK_DETECTED),  # chance puts one person on this side half of the time
        (5, 0, Verdict.INCONCLUSIVE),
        (10, 0, Verdict.LEAK),
        (10, 9, Verdict.NO_LEAK_DETECTED),
        (12, 3, Verdict.INCONCLUSIVE),
    ],
)
def test_some_exposed_people_are_a_leak_where_chance_does_not_explain_them(
    ahead: int, behind: int, expected: Verdict
) -> None:
    assert verdict(-0.3, (-0.4, -0.2), ahead=ahead, behind=behind) is expected


@pytest.mark.parametrize(
    ("difference", "p", "expected"),
    [
        (0.3, 0.0002, Verdict.LEAK),
        (0.3, 0.02, Verdict.INCONCLUSIVE),  # random answers do as well once in fifty figures
        (0.015, 0.0002, Verdict.INCONCLUSIVE),  # beyond chance, but not by the margin; nor is it ruled out
    ],
)
def test_where_answers_can_be_drawn_at_random_they_decide_whether_it_is_a_leak(
    difference: float, p: float, expected: Verdict
) -> None:
    assert verdict(difference, (difference - 0.2, difference + 0.2), p=p) is expected


def test_what_so_many_people_cannot_show_is_said() -> None:
    reason = decide(Evidence(0.0, (-0.01, 0.01), "atlas", 24), 0.02, FOUND, 10)[1]
    assert "with 24 people, a leak of up to 12% of people can stay unseen" in reason
    assert unseen_share(24) == pytest.approx(clopper_pearson(0.0, 24, 0.9)[1])


def test_an_attack_that_does_worse_than_not_looking_says_nothing() -> None:
    assert verdict(-0.3, (-0.4, -0.2), misfit=True) is Verdict.INCONCLUSIVE


def test_only_that_it_does_not_fit_excuses_an_attack() -> None:
    """People who are exposed beyond suspicion stay open, whatever the attack says of itself."""
    worse, unfit = ({"misfit": True}, {"unfit": "other keys, other encodings"})
    for why in (worse, unfit):
        for ahead, excused in ((0, True), (5, False)):
            evidence = Evidence(-0.3, (-0.4, -0.2), "atlas", 24, ahead=ahead, **why)
            word, reason = decide(evidence, 0.02, FOUND, 10)
            assert word is Verdict.INCONCLUSIVE
            assert fits(reason) is not excused


def test_too_few_subjects_decide_nothing() -> None:
    assert verdict(0.5, (0.4, 0.6), n=9) is Verdict.INCONCLUSIVE


def test_a_figure_that_does_not_exist_decides_nothing() -> None:
    assert verdict(math.nan, (-0.01, 0.01)) is Verdict.INCONCLUSIVE
    assert verdict(None, None) is Verdict.INCONCLUSIVE
    assert verdict(0.0, None) is Verdict.INCONCLUSIVE


@given(st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1), st.integers(0, 50), st.sampled_from([FOUND, MISSED, None]))
def test_no_leak_needs_everything(d: float, below: float, above: float, n: int, control: Control | None) -> None:
    if verdict(d, (d - below, d + above), control, n) is Verdict.NO_LEAK_DETECTED:
        assert control is not None
        assert control.passed
        assert n >= 10
        assert d + above <= 0.02


def test_an_attack_that_does_not_fit_is_covered_by_one_that_does_and_by_no_other() -> None:
    silent = made_up.finding("average", 0.5, verdict=Verdict.INCONCLUSIVE, fits=False)
    assert overall([silent], [])[0] is Verdict.INCONCLUSIVE
    beside = made_up.finding("invert", 0.74)
    assert overall([silent, beside], [])[0] is Verdict.NO_LEAK_DETECTED
    for other in (
        made_up.finding("invert", 0.74, victim="reference"),  # of somebody else
        made_up.finding("invert", 0.74, verdict=Verdict.INCONCLUSIVE),
        made_up.finding("invert", 0.74, fits=False),
    ):
        assert overall([silent, other], [])[0] is Verdict.INCONCLUSIVE
    doubtful = made_up.finding("bss", 0.74, verdict=Verdict.INCONCLUSIVE)
    assert overall([silent, beside, doubtful], [])[0] is Verdict.INCONCLUSIVE, "that one fits, and is open"


@given(
    st.floats(-1, 1), st.floats(0, 20), st.floats(0, 20), st.floats(0, 0.9), st.integers(2, 40),
    st.sampled_from([FOUND, MISSED, None]),
)  # fmt: skip
def test_an_interval_cut_at_what_is_possible_gives_the_same_verdict(
    difference: float, below: float, above: float, margin: float, n: int, control: Control | None
) -> None:
    ci = difference - below, difference + above
    given_, cut = (
        decide(Evidence(difference, found, "atlas", n), margin, control, 10) for found in (ci, within(ci, -1, 1))
    )
    assert given_[0] is cut[0]
    if ci[0] >= -1 and ci[1] <= 1:
        assert given_ == cut
