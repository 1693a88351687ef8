"""The record itself."""

from __future__ import annotations

from privaudit.contracts.report import Report, ReportInput
from privaudit.results.record_files import dumps


class JsonReport(Report):
    """The record as JSON, for other programs."""

    name = "json"
    summary = "the record as JSON ('privaudit schema' prints its schema)"
    suffix = ".json"

    def render(self, source: ReportInput) -> str:
        """Return the JSON text."""
        return dumps(source.record)
