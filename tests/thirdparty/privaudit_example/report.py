"""A report in one line."""

from __future__ import annotations

from privaudit.contracts.report import Report, ReportInput


class PlainReport(Report):
    """The verdict, and nothing else."""

    name = "plain"
    summary = "example: the verdict as plain text"
    suffix = ".txt"

    def render(self, source: ReportInput) -> str:
        return f"{source.record.defense.name}: {source.record.verdict}\n"
