"""The pytest plugin, in a suite of its own."""

from pathlib import Path

import pytest

from privaudit.files import write_text
from privaudit.results.baseline import dump_baseline, make_baseline
from privaudit.results.overall import Verdict
from privaudit.results.record_files import dumps
from tests.records import finding, record

pytest_plugins = ["pytester"]


@pytest.fixture
def suite(pytester: pytest.Pytester) -> Path:
    path = pytester.path
    write_text(path / "good" / "record.json", dumps(record(finding())))
    write_text(path / "bad" / "record.json", dumps(record(finding(verdict=Verdict.LEAK), finding("reid"))))
    write_text(path / "open" / "record.json", dumps(record(finding(verdict=Verdict.INCONCLUSIVE))))
    write_text(path / "base.json", dump_baseline(make_baseline(record(finding()))))
    return path


def test_the_fixture_passes_and_fails(pytester: pytest.Pytester, suite: Path) -> None:
    pytester.makepyfile(
        """
        def test_good(privaudit_check):
            privaudit_check("good")
        def test_good_against_baseline(privaudit_check):
            privaudit_check("good", baseline="base.json")
        def test_bad(privaudit_check):
            privaudit_check("bad", baseline="base.json")
        def test_open(privaudit_check):
            privaudit_check("open")
        def test_none(privaudit_check):
            privaudit_check("nowhere")
        """
    )
    result = pytester.runpytest("-p", "no:cacheprovider")
    result.assert_outcomes(passed=2, failed=3)
    result.stdout.fnmatch_lines(["*average/K=10/target/ms_ssim: regressed: verdict was*", "*no record at*"])


def test_options_collect_one_test_per_figure(pytester: pytest.Pytester, suite: Path) -> None:
    pytester.runpytest("-p", "no:cacheprovider", "--privaudit-run", "bad").assert_outcomes(passed=1, failed=1)
    pytester.runpytest("-p", "no:cacheprovider", "--privaudit-run", "good").assert_outcomes(passed=1)
    outcome = pytester.runpytest(
        "-p", "no:cacheprovider", "--privaudit-run", "good", "--privaudit-baseline", "base.json"
    )
    outcome.assert_outcomes(passed=1)


def test_a_missing_run_is_an_error(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest("-p", "no:cacheprovider", "--privaudit-run", "nowhere")
    assert result.ret != 0
    assert "no record at" in "".join(result.outlines + result.errlines)


def test_who_does_not_use_it_does_not_notice(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_nothing(): pass")
    pytester.runpytest("-p", "no:cacheprovider").assert_outcomes(passed=1)
