"""Each rule of the gate, seen to go red; and what no change may ever do."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privaudit.errors import OptionError, RecordError
from privaudit.results.baseline import dump_baseline, make_baseline, read_baseline
from privaudit.results.gate import check, verdict_exit
from privaudit.results.overall import Verdict
from privaudit.results.record import SCHEMA_VERSION, Control, Missing, Record
from privaudit.results.record_files import dumps, read
from tests.records import finding, full, record

LEAK, OPEN = Verdict.LEAK, Verdict.INCONCLUSIVE
BASE = make_baseline(record(finding()))


def code(new: Record, base: Record | None = None, **more: Any) -> int:
    return check(new, make_baseline(base) if base else BASE, **more).exit_code


def test_the_same_run_passes() -> None:
    assert code(record(finding())) == 0


def test_a_new_leak_is_a_regression() -> None:
    assert code(record(finding(estimate=0.751, verdict=LEAK))) == 1


def test_growth_beyond_tolerance_and_noise_is_a_regression() -> None:
    assert code(record(finding(estimate=0.80))) == 1


def test_growth_beyond_tolerance_within_noise_does_not_pass() -> None:
    assert code(record(finding(estimate=0.80, half=0.1))) == 3


def test_growth_within_tolerance_passes() -> None:
    assert code(record(finding(estimate=0.765))) == 0


def test_an_accepted_leak_passes_until_it_grows_or_is_forbidden() -> None:
    leaking = record(finding(estimate=0.9, verdict=LEAK))
    assert code(leaking, leaking) == 0
    assert code(leaking, leaking, allow_known_leaks=False) == 1
    assert code(record(finding(estimate=0.95, verdict=LEAK)), leaking) == 1


def test_an_accepted_doubt_passes_until_it_moves_either_way_or_leaks() -> None:
    doubtful = record(finding(verdict=OPEN), finding("gone", None, verdict=OPEN))
    accepted = make_baseline(doubtful, accept_inconclusive=True)
    assert check(doubtful, make_baseline(doubtful)).exit_code == 3
    result = check(doubtful, accepted)
    assert (result.exit_code, {item.status for item in result.items}) == (0, {"accepted"})
    for estimate in (0.72, 0.78):
        moved = record(finding(estimate=estimate, half=0.1, verdict=OPEN), finding("gone", None, verdict=OPEN))
        assert check(moved, accepted).exit_code == 3
    worse = record(finding(estimate=0.8, verdict=OPEN), finding("gone", None, verdict=OPEN))
    assert check(worse, accepted).exit_code == 1
    assert check(record(finding(estimate=0.751, verdict=LEAK)), accepted).exit_code == 1
    appeared = record(finding(verdict=OPEN), finding("gone", 0.74, verdict=OPEN))
    assert check(appeared, accepted).exit_code == 3


def test_only_doubts_are_accepted(tmp_path: Path) -> None:
    base = make_baseline(record(finding(), finding("open", verdict=OPEN)), accept_inconclusive=True)
    assert {f.key: f.accepted for f in base.findings} == {
        "average/K=10/target/ms_ssim": False, "open/K=10/target/ms_ssim": True,
    }  # fmt: skip
    (tmp_path / "base.json").write_text(dump_baseline(base))
    assert read_baseline(tmp_path / "base.json") == base
    assert check(record(finding(verdict=OPEN), finding("open", verdict=OPEN)), base).exit_code == 3


def test_lower_may_be_leakier() -> None:
    base = record(finding(higher_is_leakier=False))
    assert code(record(finding(estimate=0.70, higher_is_leakier=False)), base) == 1
    assert code(record(finding(estimate=0.80, higher_is_leakier=False)), base) == 0


@pytest.mark.parametrize(
    "new",
    [
        record(finding("reid")),
        record(finding(estimate=None)),
        record(finding(ci=None)),
        record(finding(n_subjects=23)),
        record(finding(verdict=OPEN)),
        record(finding(verdict=None)),
        record(finding(control=None)),
        record(finding(control=Control(description="", estimate=0.7, difference=0, ci=None, passed=False))),
        record(finding(params={"alpha": "known"})),
        record(finding(knowledge=["transcript"])),
        record(finding(), missing=[Missing(attack="slow", protocol="x", error="no")]),
        record(finding(), finding("new", verdict=OPEN)),
        record(finding(), seed=1),
        record(finding(), settings={"scoring": {"confidence": 0.5}, "ms_ssim": "patch32"}),
        record(finding(), dataset=record().dataset.model_copy(update={"fingerprint": "0" * 64})),
        record(finding(), defense=record().defense.model_copy(update={"name": "none"})),
        record(),
    ],
)
def test_gaps_and_doubts_never_pass(new: Record) -> None:
    assert code(new) == 3


def test_a_new_figure_that_leaks_is_a_regression_and_a_clean_one_passes() -> None:
    assert code(record(finding(), finding("new", verdict=LEAK))) == 1
    assert code(record(finding(), finding("new"))) == 0


def test_a_regression_outranks_a_doubt() -> None:
    assert code(record(finding(verdict=LEAK), finding("new", verdict=OPEN), seed=3)) == 1


def test_the_defenses_options_may_change() -> None:
    assert code(record(finding(), defense=record().defense.model_copy(update={"params": {"views": 5}}))) == 0


@given(st.floats(0, 1), st.floats(0, 0.3), st.floats(0, 0.5), st.sampled_from([Verdict.NO_LEAK_DETECTED, LEAK, OPEN]))
def test_leaking_more_never_improves_the_exit_code(old: float, half: float, more: float, verdict: Verdict) -> None:
    base = record(finding(estimate=old, half=half, verdict=verdict))
    order = {0: 0, 3: 1, 1: 2}
    same = code(record(finding(estimate=old, half=half, verdict=verdict)), base)
    leakier = code(record(finding(estimate=old + more, half=half, verdict=verdict)), base)
    assert order[leakier] >= order[same]


@given(st.lists(st.sampled_from("abcdef"), min_size=1, unique=True), st.data())
def test_dropping_a_finding_never_passes(names: list[str], data: st.DataObject) -> None:
    base = record(*(finding(name) for name in names))
    gone = data.draw(st.sampled_from(names))
    assert code(record(*(finding(name) for name in names if name != gone)), base) == 3


@pytest.mark.parametrize("tolerance", [-0.1, 1.5, math.nan, math.inf])
def test_a_tolerance_that_makes_no_sense(tolerance: float) -> None:
    with pytest.raises(OptionError, match="tolerance"):
        code(record(finding()), tolerance=tolerance)


def test_what_cannot_be_a_baseline() -> None:
    with pytest.raises(RecordError, match="incomplete run"):
        make_baseline(full())
    with pytest.raises(RecordError, match="without a deciding figure"):
        make_baseline(record())


def test_a_baseline_survives_its_file(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    file.write_text(dump_baseline(BASE))
    assert read_baseline(file) == BASE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("[]", "no baseline of this version"),
        (json.dumps({"privaudit_baseline": "0.9"}), f"got 0.9; allowed: {SCHEMA_VERSION}"),
        (json.dumps({"privaudit_baseline": SCHEMA_VERSION}), "not a valid baseline"),
        (dumps(record(finding())), "no baseline of this version"),
    ],
)
def test_files_that_are_no_baseline(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "baseline.json"
    file.write_text(text)
    with pytest.raises(RecordError, match=message):
        read_baseline(file)
    with pytest.raises(RecordError, match="no baseline at"):
        read_baseline(tmp_path / "none.json")


def test_records_of_another_schema_or_with_nan_are_refused(tmp_path: Path) -> None:
    data = record(finding()).model_dump(mode="json")
    file = tmp_path / "record.json"
    file.write_text(json.dumps({**data, "schema_version": "0.1"}))
    with pytest.raises(RecordError, match="another schema version; got 0.1"):
        read(file)
    file.write_text(json.dumps({**data, "extra": 1}))
    with pytest.raises(RecordError, match="not a valid record|NaN is no number|Infinity is no number"):
        read(file)
    for field, value in (("estimate", math.nan), ("ci", [math.nan, 1.0]), ("ci", [1.0, 0.0])):
        changed = {**data["findings"][0], field: value}
        file.write_text(json.dumps({**data, "findings": [changed]}))
        with pytest.raises(RecordError, match="not a valid record|NaN is no number|Infinity is no number"):
            read(file)


def test_records_edited_by_hand_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    data = record(finding(verdict=LEAK)).model_dump(mode="json")
    file.write_text(json.dumps({**data, "verdict": "NO LEAK DETECTED"}))
    with pytest.raises(RecordError, match="verdict is not the one that its findings give"):
        read(file)
    file.write_text(json.dumps({**data, "findings": data["findings"] * 2}))
    with pytest.raises(RecordError, match="listed twice"):
        read(file)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"estimate": 0.93}, "its interval does not stay within the margin"),
        ({"baseline": None, "comparisons": []}, "its interval does not stay within the margin"),
        ({"control": None}, "its planted leak was not found"),
        (
            {"control": Control(description="planted", estimate=0.7, difference=0.0, ci=(0.0, 0.0), passed=False)},
            "planted",
        ),
    ],
)
def test_a_verdict_edited_against_its_own_figures_is_refused(tmp_path: Path, changed: dict[str, Any], why: str) -> None:
    file = tmp_path / "record.json"
    file.write_text(dumps(record(finding())))
    assert read(file).verdict is Verdict.NO_LEAK_DETECTED
    file.write_text(dumps(record(finding(**changed))))
    with pytest.raises(RecordError, match=f"average/K=10/target/ms_ssim says NO LEAK DETECTED, but .*{why}"):
        read(file)


def test_a_supporting_leak_is_not_passed() -> None:
    hint = finding(protocol="K=5", estimate=0.9, role="secondary", verdict=None)
    assert record(finding()).verdict is Verdict.NO_LEAK_DETECTED
    assert record(finding(), hint).verdict is OPEN


def test_a_record_on_its_own_has_an_exit_code() -> None:
    assert verdict_exit(record(finding())) == 0
    assert verdict_exit(record(finding(verdict=LEAK))) == 1
    assert verdict_exit(record()) == 3
