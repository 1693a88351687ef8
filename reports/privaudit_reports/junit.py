"""JUnit XML of a record on its own; 'privaudit check --junit' writes that of a comparison."""

from __future__ import annotations

from privaudit.contracts.report import Report, ReportInput
from privaudit.results.ci_formats import junit, record_cases


class JunitReport(Report):
    """One testcase per deciding figure: a leak is a failure, anything undecided or missing an error."""

    name = "junit"
    summary = "JUnit XML: one testcase per deciding figure"
    suffix = ".xml"

    def render(self, source: ReportInput) -> str:
        """Return the XML text."""
        record = source.record
        return junit(f"privaudit {record.defense.name} on {record.dataset.name}", record_cases(record))
