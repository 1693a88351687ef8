"""Renderers: complete, escaped, self-contained, deterministic."""

import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest

from privaudit.contracts import plugin
from privaudit.contracts.report import Picture, Report, ReportInput
from privaudit.results.overall import Verdict
from privaudit.results.record import Record
from privaudit.results.record_files import loads
from privaudit_reports.card import worst_cases
from tests.records import finding, full, record

FORMATS = ["html", "json", "junit", "markdown", "sarif"]
HOSTILE = "<script>alert('x')</script>|`*"


def render(name: str, source: Record, **more: object) -> str:
    report = plugin.create("reports", name, Report)
    return report.render(ReportInput(source, **more))  # type: ignore[arg-type]


class Balanced(HTMLParser):
    """Fails on a tag that is closed wrongly or not at all."""

    VOID = frozenset({"meta", "img", "br", "hr", "link", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("source", [full(), record(), record(finding())], ids=["full", "empty", "clean"])
def test_every_record_renders_and_twice_alike(name: str, source: Record) -> None:
    assert render(name, source) == render(name, source) != ""


def test_html_is_balanced_and_loads_nothing() -> None:
    page = render("html", full(), pictures=(Picture("a", "A picture.", b"\x89PNG"),))
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert all(link.startswith(("data:image/png;base64,", "#")) for link in parser.links)
    assert "<script" not in page
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


@pytest.mark.parametrize("name", ["html", "markdown"])
def test_a_card_says_what_matters(name: str) -> None:
    page = render(name, full()).replace("\\", "").replace("\u00a0", " ")
    for text in ("LEAK", "virtual subjects", "0.930 [0.920, 0.940]", "atlas 0.740", "INCONCLUSIVE", "out of luck"):
        assert text in page
    for finding_ in full().primary():
        assert finding_.attack in page
    assert "by chance 10.0%" in page


@pytest.mark.parametrize("name", ["html", "markdown"])
def test_what_must_be_known_of_the_data_stands_on_every_card(name: str) -> None:
    note = "2 of 6 images hold the voxels of another one"
    source = full().model_copy(update={"dataset": full().dataset.model_copy(update={"notes": [note]})})
    assert note in render(name, source)
    assert note in plugin.create("reports", name, Report).render_panel([source, source])


@pytest.mark.parametrize("name", ["html", "markdown"])
def test_hostile_text_is_escaped(name: str) -> None:
    source = full()
    hostile = source.model_copy(
        update={
            "defense": source.defense.model_copy(update={"name": HOSTILE, "params": {HOSTILE: HOSTILE}}),
            "dataset": source.dataset.model_copy(update={"name": HOSTILE, "simulated": HOSTILE, "notes": [HOSTILE]}),
            "findings": [f.model_copy(update={"attack": HOSTILE, "reason": HOSTILE}) for f in source.findings],
        }
    )
    assert "<script>" not in render(name, hostile)


MARKUP = "# a *b* `c` [d](http://e.test) ![f](g) <img src=h> |i| @j ~~k~~ www.l.test \n- m\n> n &lt; \\"


def hostile_words(data: Any) -> Any:
    """The same data with markup in every text that is free."""
    if isinstance(data, str):
        return data if data in FIXED else f"{MARKUP} {data}"
    if isinstance(data, dict):
        return {key: hostile_words(value) for key, value in data.items()}
    return [hostile_words(value) for value in data] if isinstance(data, list | tuple) else data


FIXED = {
    "1.1", "target", "reference", "identity", "ms_ssim", "map", "rank1", "primary", "secondary", "baseline", "trivial",
    "mean", "dice", "naive", "learned", *map(str, Verdict),
}  # fmt: skip
"""Texts that are no free ones: they choose what is shown."""


def tokens_of(text: str) -> list[Any]:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    return [inner for token in parser.parse(text) for inner in (token, *(token.children or ()))]


def test_nothing_in_a_record_is_markup_in_a_card() -> None:
    """The hostile card has the tokens of the plain one, and more text: no link, picture, HTML or further heading."""
    marked = Record.model_validate(hostile_words(full().model_dump(mode="json")))
    report = plugin.create("reports", "markdown", Report)
    shows: list[Callable[[Record], str]] = [lambda r: render("markdown", r), lambda r: report.render_panel([r, r])]
    for show in shows:
        plain, hostile = (Counter(token.type for token in tokens_of(show(source))) for source in (full(), marked))
        more = {kind.removesuffix("_open") for kind in hostile if hostile[kind] > plain[kind] and "_close" not in kind}
        assert more <= {"text", "text_special", "list_item", "paragraph"}, "attacks of other names are not tested here"
        assert not {token.content.strip() for token in tokens_of(show(marked))} & {"m", "n <", "n &lt;"}
        outside = re.sub(r"(?<!\\)`[^`]*(?<!\\)`", "", show(marked))  # nothing is a link or a name within code
        assert "@j" not in outside
        assert "http://" not in outside
        assert "e.test" in show(marked), "it is shown, as text"


def test_pictures_appear_only_when_given() -> None:
    assert "<img" not in render("html", full())
    assert "<img" in render("html", full(), pictures=(Picture("a", "A picture.", b"x"),))


def test_the_paper_stands_only_beside_its_own_schemes() -> None:
    assert ".284 / .352" in render("html", full())
    other = full().model_copy(update={"defense": full().defense.model_copy(update={"name": "mine"})})
    assert ".284 / .352" not in render("html", other)


def test_json_is_the_record() -> None:
    assert loads(render("json", full()), "test") == full()


def test_junit_counts_failures_and_errors() -> None:
    suite = ET.fromstring(render("junit", full())).find("testsuite")
    assert suite is not None
    counts = (suite.get("tests"), suite.get("failures"), suite.get("errors"))
    assert counts == ("4", "2", "2")
    assert len(suite.findall("testcase/failure")) == 2
    hostile = record(finding(reason="\x00\x08 <bad>", verdict=Verdict.LEAK))
    assert ET.fromstring(render("junit", hostile)).find("testsuite/testcase/failure") is not None


def test_an_empty_record_is_an_error_to_ci() -> None:
    assert ET.fromstring(render("junit", record())).find("testsuite/testcase/error") is not None


def test_sarif_has_what_code_scanning_needs() -> None:
    log = json.loads(render("sarif", full()))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(run["results"]) == 4
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
        assert result["message"]["text"]
    assert json.loads(render("sarif", record(finding())))["runs"][0]["results"] == []


def test_a_card_says_which_way_a_figure_leaks_and_explains_it() -> None:
    """Secondary figures are folded away; a lower equal error rate is the worse one."""
    shown = finding(metric="eer", role="secondary", higher_is_leakier=False, victim="identity", verdict=None)
    page = render("html", record(finding(), shown))
    assert "equal error rate (lower is leakier)" in page
    assert "<dt>ε from guesses</dt>" in page
    assert "(lower is leakier)" not in render("html", full())


def test_the_worst_cases_leave_out_who_knows_more_and_gets_no_more() -> None:
    few, more = ["atlas", "transcript"], ["atlas", "population", "transcript"]
    strong = finding("joint", 0.9, verdict=Verdict.LEAK, knowledge=few)
    for estimate, shown in ((0.85, ["joint"]), (0.95, ["joint", "invert"])):
        weak = finding("invert", estimate, verdict=Verdict.LEAK, knowledge=more)
        cases = worst_cases(record(weak, strong))
        assert [case.finding.attack for case in cases] == shown
    other = finding("invert", 0.85, verdict=Verdict.LEAK, knowledge=["pool", "transcript"])
    assert len(worst_cases(record(other, strong))) == 2
