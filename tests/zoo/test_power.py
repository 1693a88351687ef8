"""The exposure table says what the records say."""

import datetime
from pathlib import Path

import pytest

from benchmarks.power_bench import line_of, main, markdown, strongest, totals
from privaudit.results.overall import Verdict
from privaudit.results.record import Missing
from privaudit_zoo import PRIVATE
from tests.records import finding, record


def test_the_strongest_finding_leaks_or_is_furthest_ahead() -> None:
    quiet = finding("reid", estimate=0.90)
    leak = finding("invert", estimate=0.77, verdict=Verdict.LEAK)
    assert strongest(record(quiet, leak)) == leak
    assert strongest(record(finding("average", estimate=0.7), quiet)) == quiet
    assert strongest(record()) is None


def test_a_line_counts_each_attack_s_seconds_once_and_says_what_is_missing() -> None:
    parts = [finding(), finding(metric="psnr", role="secondary", verdict=None), finding("invert")]
    line = line_of("zoo-x", True, record(*parts, missing=[Missing(attack="reid", protocol="encoded", error="x")]))
    assert (line.verdict, line.seconds) == (Verdict.INCONCLUSIVE, 3.0)
    assert line.finding.endswith("(1 did not finish)")
    assert line.difference == "+0.010 [+0.000, +0.020]"
    assert line_of("zoo-x", False, record()).cells()[:5] == ("zoo-x", "private", "24", "INCONCLUSIVE", "–")


def test_totals_name_who_was_not_found_out() -> None:
    lines = [
        line_of("a", True, record(finding(verdict=Verdict.LEAK))),
        line_of("b", True, record(finding())),
        line_of("c", False, record(finding())),
    ]
    assert totals(lines) == [
        "2 broken: 1 LEAK, 1 NO LEAK DETECTED, 0 INCONCLUSIVE",
        "1 private: 0 LEAK, 1 NO LEAK DETECTED, 0 INCONCLUSIVE",
        "not found out: b",
    ]
    text = markdown(lines, "the command", "many people", "0123456789+", datetime.date(2025, 1, 2))
    assert text.startswith("`the command`, many people, commit 01234567+, 2025-01-02:\n\n| encoder |")
    assert text.count("\n| ") == 5
    assert text.endswith("- not found out: b\n")


def test_audits_of_the_zoo_resume(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = [
        "--subjects",
        "8",
        "--private-subjects",
        "8",
        "--attacks",
        "reid",
        "--only",
        "zoo-noise-10",
        "--only",
        PRIVATE[0],
    ]
    command = [*few, "--out", str(tmp_path), "--markdown", str(tmp_path / "table.md")]
    main(command)
    first = capsys.readouterr().out
    jobs = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.audit.jsonl")}
    main(command)
    assert capsys.readouterr().out == first
    assert len(jobs) > 2
    assert {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*.audit.jsonl")} == jobs
    assert "zoo-noise-10 | broken" in first
    assert "1 private: 0 LEAK" in first
    assert str(tmp_path) not in (tmp_path / "table.md").read_text()


def test_an_unknown_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no such encoder: zoo-nothing"):
        main(["--only", "zoo-nothing", "--out", str(tmp_path)])
