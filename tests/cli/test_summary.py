"""What an audit prints when it ends: at any width nothing that matters is cut, and doubts have a reason."""

import io
from typing import Any

import pytest
from rich.console import Console

from privaudit.cli.summary import print_summary
from privaudit.results.advice import BATTERY, MORE_PEOPLE, to_try, verdict_line
from privaudit.results.overall import Verdict
from privaudit.results.record import Control, Missing, Record
from privaudit.results.words import control_word
from tests.records import finding, full, record

OPEN = Verdict.INCONCLUSIVE
FEW = "5 people are too few to decide (at least 10)"
SCORING = {"settings": {"scoring": {"min_subjects": 10}, "ms_ssim": "patch32"}}


def control(difference: float, passed: bool = False) -> Control:
    return Control(description="planted", estimate=1.0, difference=difference, ci=(-0.1, 0.6), passed=passed)


def printed(found: Record, width: int, **more: Any) -> list[str]:
    stream = io.StringIO()
    print_summary(found, [], more.pop("quiet", False), Console(file=stream, width=width, highlight=False))
    return stream.getvalue().splitlines()


@pytest.mark.parametrize("width", [30, 60, 80, 100, 160, 400])
def test_no_verdict_and_no_figure_is_cut(width: int) -> None:
    lines = printed(full(), width)
    text = " ".join(line.strip("│ ") for line in lines)
    assert "…" not in text
    for word in ("average K=10 → target", "0.930 [0.920, 0.940]", "+0.190 [+0.180, +0.200]", "INCONCLUSIVE", "LEAK"):
        assert word in text or width < 60, word
    assert max(map(len, lines)) <= max(width, 60)
    assert any("┃ verdict" in line for line in lines) == (width >= 160)


def test_a_doubt_has_its_reason_and_the_last_line_says_what_to_try() -> None:
    doubtful = record(finding("reid", verdict=OPEN, reason=FEW, n_subjects=5), **SCORING)
    lines = printed(doubtful, 300)
    assert f"INCONCLUSIVE reid K=10 → target: {FEW}" in lines
    assert lines[-1].endswith(f"inconclusive (reid, K=10: {FEW}). To try: {MORE_PEOPLE}")
    assert printed(doubtful, 300, quiet=True) == lines[-1:]
    assert "To try" not in verdict_line(record(finding()))


@pytest.mark.parametrize(
    ("found", "step"),
    [
        (record(finding(verdict=OPEN, control=control(0.0)), **SCORING), "a stronger attack than average"),
        (record(finding(verdict=OPEN, control=control(0.5)), **SCORING), MORE_PEOPLE),
        (record(finding(verdict=OPEN, fits=False), **SCORING), BATTERY),
        (record(finding("x", None, verdict=OPEN, baseline=None), **SCORING), MORE_PEOPLE),
        (record(finding(role="secondary", verdict=None), **SCORING), BATTERY),
        (record(missing=[Missing(attack="slow", protocol="x", error="no")], **SCORING), "the same command again"),
    ],
)
def test_each_doubt_has_something_to_try(found: Record, step: str) -> None:
    assert to_try(found)[0].startswith(step)


def test_a_planted_leak_that_few_people_show_is_not_called_missed() -> None:
    assert control_word(finding(control=control(0.5))) == "too few people"
    assert control_word(finding(control=control(0.01))) == "MISSED"
    assert control_word(finding(control=control(0.5, passed=True))) == "found"
    assert control_word(finding(control=None)) == "–"


def test_people_without_a_role_are_told() -> None:
    data = record().dataset.model_copy(update={"subjects": 50, "notes": ["two are one"]})
    text = "\n".join(printed(record(finding(), dataset=data), 200))
    assert "beware: of 50 people, 24 victims, 12 pool, 12 population; 2 without a role" in text
    assert "beware: two are one" in text


def test_a_figure_that_decides_nothing_says_so_where_lines_are_narrow() -> None:
    beside = finding("as-is", verdict=None, role="trivial")
    lines = printed(record(finding(), beside), 80)
    assert "no verdict: as-is K=10 → target" in lines
    assert not [line for line in lines if line.startswith("–")]
