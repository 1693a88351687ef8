"""SARIF 2.1.0 of a record on its own; 'privaudit check --sarif' writes that of a comparison."""

from __future__ import annotations

from privaudit.contracts.report import Report, ReportInput
from privaudit.results.ci_formats import record_cases, sarif


class SarifReport(Report):
    """One result per deciding figure that does not pass."""

    name = "sarif"
    summary = "SARIF 2.1.0: one result per deciding figure that does not pass"
    suffix = ".sarif"

    def render(self, source: ReportInput) -> str:
        """Return the SARIF text."""
        return sarif(record_cases(source.record))
