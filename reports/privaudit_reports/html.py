"""The card: one HTML file that needs nothing else, on screen and on paper."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

from privaudit.contracts.knowledge import RUNG_TEXT
from privaudit.contracts.report import Report, ReportInput
from privaudit.results import advice
from privaudit.results.overall import Verdict
from privaudit.results.record import Record
from privaudit.results.words import attack_name, number, roles_text, told
from privaudit.scoring.kinds import kinds_in
from privaudit_reports import card, panel, plots, utility


class HtmlReport(Report):
    """Verdict, worst case per knowledge rung, figures with intervals and baselines, plots, threat model, provenance."""

    name = "html"
    summary = "self-contained HTML card"
    suffix = ".html"

    def render(self, source: ReportInput) -> str:
        """Return the page; text from the record is escaped."""
        page: str = _environment().get_template("card.html.j2").render(**_content(source))
        return page

    def render_panel(self, records: Sequence[Record]) -> str:
        """Return the page that sets defenses side by side."""
        data = records[0].dataset
        page: str = _environment().get_template("panel.html.j2").render(
            dataset=data, roles=roles_text(data.subjects, data.split), tables=panel.tables(records),
            svg=plots.panel(records, panel.titles(records)),
            audits=list(zip(panel.titles(records), records, strict=True)), tags={str(v) for v in Verdict},
        )  # fmt: skip
        return page


def _environment() -> Any:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("privaudit_reports"), autoescape=True, trim_blocks=True, lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )  # fmt: skip


def _content(source: ReportInput) -> dict[str, Any]:
    record = source.record
    primary = record.shown()
    forests = [
        plots.forest([f for f in primary if f.metric in kind.metrics], kind.words.title) for kind in kinds_in(record)
    ]
    return {
        "record": record,
        "verdict_text": card.VERDICT_TEXT[record.verdict],
        "verdict_class": record.verdict.name.lower().replace("_", "-"),
        "cases": card.worst_cases(record),
        "primary": [card.row(f) for f in primary],
        "secondary": [card.row(f) for f in record.findings if f.role == "secondary"],
        "baselines": [card.row(f) for f in record.findings if f.role == "baseline"],
        "forests": [svg for svg in forests if svg],
        "curves": [
            (f"{attack_name(f)}, {f.victim}: {line.name}", plots.curve(line, f)) for f in primary for line in f.curves
        ],
        "frontier": plots.frontier(record),
        "utility_curve": plots.utility_curve(record),
        "utility": utility.tables(record),
        "pictures": [(picture.caption, base64.b64encode(picture.png).decode("ascii")) for picture in source.pictures],
        "rungs": [(str(rung), text) for rung, text in RUNG_TEXT.items()],
        "used": {rung for finding in record.findings for rung in finding.knowledge},
        "untested": card.untested(record),
        "battery": card.battery(record),
        "noticed": card.noticed(record),
        "to_try": advice.to_try(record),
        "paper_sizes": card.paper_sizes(record),
        "paper": card.paper_rows(record),
        "roles": roles_text(record.dataset.subjects, record.dataset.split),
        "options": card.flat(record.defense.params),
        "dataset_options": card.flat(record.dataset.params),
        "attack_options": {f.attack: card.flat(f.params) for f in record.findings if f.params},
        "settings": card.flat(record.settings),
        "provenance": card.flat(record.provenance),
        "glossary": card.glossary(),
        "number": number,
        "told": told,
    }
