"""Malformed inputs: a smaller run of ``make fuzz``, and everything that once went wrong."""

import copy
import json
import random
import time
from pathlib import Path

import pytest

from privaudit.errors import OptionError
from tests.fuzzing.judging import Silent, Tally, judge
from tests.fuzzing.mutations import NASTY, spoil_data
from tests.fuzzing.running import kept_cases, rerun, run_target
from tests.fuzzing.targets import TARGETS

SMALL = 120
"""Cases of a hundred times the length: 'make fuzz' runs 10,000."""


@pytest.mark.parametrize("name", TARGETS)
def test_malformed_input_is_refused_in_one_line_or_means_what_it_says(name: str) -> None:
    tally = run_target(name, max(5, SMALL * TARGETS[name][1] // 100), first=0)
    assert tally.found == []
    assert tally.counts["refused"] + tally.counts["accepted"] == tally.counts["cases"]
    assert tally.counts["refused"] > 0 or name == "job files", "nothing was malformed"


def test_what_once_went_wrong_does_not_again() -> None:
    assert [fault for name, seed in kept_cases() for fault in rerun(name, seed).found] == []


def test_every_fault_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fuzzer that counts nothing finds nothing."""
    monkeypatch.setattr("tests.fuzzing.judging.SECONDS", 0.05)

    def crash(rng: random.Random, folder: Path) -> None:
        raise KeyError("x")

    def hang(rng: random.Random, folder: Path) -> None:
        time.sleep(5)

    def lie(rng: random.Random, folder: Path) -> None:
        raise Silent("x")

    def leave(rng: random.Random, folder: Path) -> None:
        (folder / ".tmp-x").write_text("half")

    def ramble(rng: random.Random, folder: Path) -> None:
        raise OptionError("x", todo="y").with_traceback(None) from None

    tally = Tally()
    for number, case in enumerate((crash, hang, lie, leave, ramble)):
        judge("test", case, number, tally)
    assert tally.counts["cases"] == 5
    assert tally.faults == {
        "tracebacks": 1, "hangs": 1, "silent acceptances": 1, "part-written files": 1, "unreadable messages": 0
    }  # fmt: skip


def test_what_is_put_in_stays_as_it_is() -> None:
    """Else a case would depend on those before it, and could not be run again."""
    before = copy.deepcopy(NASTY)
    for number in range(2000):
        json.dumps(spoil_data(random.Random(number), {"a": [1, {"b": 2}], "c": {"d": [3]}}))
    assert repr(before) == repr(NASTY)
