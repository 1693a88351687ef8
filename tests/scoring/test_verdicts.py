"""Each way to a verdict, and the invariants: silence without a control is never a pass."""

import math

from hypothesis import given
from hypothesis import strategies as st

from privaudit.results.record import Control, Verdict
from privaudit.scoring.verdicts import decide

FOUND = Control(description="", estimate=1.0, difference=0.5, ci=(0.4, 0.6), passed=True)
MISSED = Control(description="", estimate=0.1, difference=0.0, ci=(-0.1, 0.1), passed=False)


def verdict(
    difference: float | None = 0.0,
    ci: tuple[float, float] | None = (-0.01, 0.01),
    control: Control | None = FOUND,
    n: int = 24,
) -> Verdict:
    return decide(difference, ci, 0.02, control, n, 10, "atlas")[0]


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


def test_some_exposed_people_are_not_passed() -> None:
    def exposed(k: int) -> Verdict:
        return decide(-0.3, (-0.4, -0.2), 0.02, FOUND, 24, 10, "atlas", exposed=k)[0]

    assert [exposed(k) for k in (0, 1, 10)] == [Verdict.NO_LEAK_DETECTED, Verdict.INCONCLUSIVE, Verdict.LEAK]


def test_an_attack_that_does_worse_than_not_looking_says_nothing() -> None:
    assert decide(-0.3, (-0.4, -0.2), 0.02, FOUND, 24, 10, "atlas", misfit=True)[0] is Verdict.INCONCLUSIVE


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
