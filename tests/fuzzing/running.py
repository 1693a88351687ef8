"""Running a number of cases of one kind of input, and those that once went wrong."""

from __future__ import annotations

from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzzing.judging import Tally, judge
from tests.fuzzing.targets import TARGETS

SEEDS = Path(__file__).parent / "seeds.txt"
"""Cases that went wrong once, as 'kind seed': they are run with every test."""


def run_target(name: str, count: int, first: int) -> Tally:
    """Run so many cases; equal arguments give equal cases."""
    case, tally = TARGETS[name][0], Tally()

    @seed(first)
    @settings(
        max_examples=count, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.integers(0, 2**63 - 1))
    def cases(number: int) -> None:
        judge(name, case, number, tally)

    cases()
    return tally


def kept_cases() -> list[tuple[str, int]]:
    """What went wrong once."""
    lines = SEEDS.read_text(encoding="utf-8").split("\n")
    return [(name, int(number)) for line in lines if line for name, number in [line.rsplit(" ", 1)]]


def rerun(name: str, number: int) -> Tally:
    """Run one case again."""
    tally = Tally()
    judge(name, TARGETS[name][0], number, tally)
    return tally
