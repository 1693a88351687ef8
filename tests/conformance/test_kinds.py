"""Every kind of claim, built-in or third-party, is held to the same contract, and jobs and cards know none by name."""

import math
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import privaudit
from privaudit.auditing.opening import Settings
from privaudit.auditing.run import run_audit
from privaudit.auditing.spec import parse_spec
from privaudit.auditing.sweep import grid_points, summarise
from privaudit.contracts import plugin
from privaudit.contracts.attack import Attack
from privaudit.contracts.report import ReportInput
from privaudit.errors import PluginError
from privaudit.results.baseline import make_baseline
from privaudit.results.gate import check
from privaudit.results.overall import Verdict
from privaudit.results.record import Record
from privaudit.scoring.kind import ClaimKind, Words
from privaudit.scoring.kinds import _kinds, all_kinds, findings_of, kind_named, kind_with, kinds_in
from privaudit_reports import panel
from privaudit_reports.html import HtmlReport
from privaudit_reports.markdown import MarkdownReport

KINDS = ["attribute", "brightness", "label-map", "reconstruction", "similarity"]
ATTRIBUTES = {"name": "attributes", "protocols": ["returned"], "views": [1], "encodings": 1}
ONE_OF_EACH = [ATTRIBUTES, "meter", "decode-maps", "average", "reid"]
ROOT = Path(privaudit.__file__).parents[1]


@pytest.fixture(scope="module")
def records(thirdparty: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Record]:
    """One attack of each kind on nothing but noise, and without encoding."""
    found = {}
    noise = {"name": "pure-noise", "answer": "noise"}
    for defense, scheme in (("none", {"name": "none"}), ("pure-noise", noise)):
        data = {
            "dataset": {"name": "blobs", "subjects": 64, "side": 28}, "defense": scheme, "attacks": ONE_OF_EACH,
            "scoring": {"resamples": 500}, "split": {"victims": 0.4, "pool": 0.1, "population": 0.5},
            "controls": "single",
        }  # fmt: skip
        settings = Settings(out=tmp_path_factory.mktemp("kinds") / defense)
        found[defense] = run_audit(parse_spec(data, "test"), settings).record
    return found


def test_every_installed_kind_is_covered(thirdparty: Path) -> None:
    assert [kind.name for kind in all_kinds()] == KINDS


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_says_all_that_is_asked_of_it(name: str, thirdparty: Path, records: dict[str, Record]) -> None:
    kind = kind_named(name)
    assert kind.primary in kind.metrics
    assert set(kind.ranges) <= set(kind.metrics)
    assert all(least < greatest for least, greatest in kind.ranges.values())
    for record in records.values():
        for finding in findings_of(kind, record):
            least, greatest = kind.ranges.get(finding.metric, (-math.inf, math.inf))
            assert finding.ci is None or least <= finding.ci[0] <= finding.ci[1] <= greatest
    assert kind.victims
    words = {field.name: getattr(kind.words, field.name) for field in fields(Words)}
    assert all(words[field] for field in words if field not in ("frontier", "glossary"))
    for other in kind.beside:
        assert plugin.load("attacks", other, Attack).trivial
    for record in records.values():
        mine = findings_of(kind, record)
        assert {finding.victim for finding in mine} <= set(kind.victims)
        assert {finding.metric for finding in mine} == set(kind.metrics)
        deciding = [finding for finding in mine if finding.role == "primary"]
        assert deciding
        assert {finding.metric for finding in deciding} == kind.deciding
        for finding in mine:
            cells = kind.cells(finding, record)
            assert cells is None or len(cells) == len(kind.words.columns)
        for finding in deciding:
            assert finding.control is not None
            assert finding.control.passed
            assert re.search(r"\d", kind.sentence(finding, record))


def test_every_metric_has_one_kind(thirdparty: Path) -> None:
    assert kind_with("no such metric") is None
    for kind in all_kinds():
        for metric in kind.metrics:
            found = kind_with(metric)
            assert found is not None
            assert found.name == kind.name


def test_two_kinds_with_one_metric_are_an_error(thirdparty: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cls = plugin.load("claims", "brightness", ClaimKind)
    monkeypatch.setattr(cls, "metrics", {"map": "another mAP", "closeness": "closeness"})
    _kinds.cache_clear()
    with pytest.raises(PluginError, match="'brightness' and 'similarity' share the metric 'map'"):
        all_kinds()
    _kinds.cache_clear()


def test_an_unknown_kind_is_named(blobs: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugin.load("attacks", "smooth", Attack), "claim", "reconstrucion")
    with pytest.raises(PluginError, match=r"no claim is called 'reconstrucion'; did you mean 'reconstruction'\?"):
        run_audit(parse_spec(blobs(attacks=["smooth"]), "test"))


def test_a_third_partys_kind_is_audited_like_any_other(records: dict[str, Record], tmp_path: Path) -> None:
    kind = kind_named("brightness")
    verdicts = {name: next(f for f in record.primary() if f.attack == "meter") for name, record in records.items()}
    assert verdicts["none"].verdict is Verdict.LEAK
    assert verdicts["pure-noise"].verdict is Verdict.NO_LEAK_DETECTED, verdicts["pure-noise"].reason
    assert verdicts["none"].baseline is not None
    assert verdicts["none"].baseline.name == "mean-brightness"
    assert kinds_in(records["none"]) == all_kinds()
    for text in (
        HtmlReport().render(ReportInput(records["none"])),
        MarkdownReport().render(ReportInput(records["none"])),
    ):
        assert "The brightness comes as near as" in text
    assert "1 less the error of the brightness" in HtmlReport().render(ReportInput(records["none"]))
    tables = panel.tables(list(records.values()))
    (table,) = [table for table in tables if table.caption == kind.words.panel]
    assert table.header == ["Defense", "Attack", "closeness", "control", "Verdict", "People"]
    assert [row[0] for row in table.rows] == ["none", "pure-noise"]
    (best,) = [table for table in tables if table.caption.startswith("Strongest attacks")]
    cells = [row[best.header.index(kind.words.title)] for row in best.rows]
    assert all(cell.startswith("meter") for cell in cells)
    assert [cell.rpartition(", ")[2] for cell in cells] == ["LEAK", "NO LEAK DETECTED"]
    data = {"dataset": "blobs", "attacks": ONE_OF_EACH, "defense": "pure-noise"}
    (point,) = grid_points(parse_spec(data, "test"), {"views": [1]}, tmp_path)
    assert summarise(point, records["none"], all_kinds())["brightness_attack"] == "meter default"
    grown = check(records["none"], make_baseline(records["pure-noise"]))
    assert any(item.name.startswith("meter") and item.status == "regressed" for item in grown.items)


@pytest.mark.parametrize(
    "folder", ["privaudit/auditing", "privaudit/cards", "privaudit/cli", "privaudit/results", "reports"]
)
def test_nothing_but_the_kinds_themselves_knows_one_by_name(folder: str) -> None:
    """Neither the names of kinds nor their victims or metrics decide anything outside of scoring."""
    told = re.compile(r"""(==|!=|\bin) *\(?["'](reconstruction|similarity|identity|target|reference|map)["']""")
    for file in (ROOT / folder).rglob("*.py"):
        assert not told.search(file.read_text()), file
        assert not re.search(r"scoring\.(reconstruction|similarity)", file.read_text()), file
