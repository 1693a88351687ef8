"""The card as Markdown, for pull requests and notes."""

from __future__ import annotations

from collections.abc import Sequence

from privaudit.contracts.report import Report, ReportInput
from privaudit.results import advice
from privaudit.results.markdown import code, escape
from privaudit.results.record import Record
from privaudit.results.words import attack_name, roles_text, told
from privaudit_reports import card, panel, utility

COLUMNS = {
    "attack": "Attack",
    "victim": "Whose",
    "metric": "Metric",
    "estimate": "Estimate [interval]",
    "baseline": "Best trivial",
    "difference": "Difference",
    "as_is": "Over as-is",
    "control": "Planted leak",
    "people": "People / scans",
    "verdict": "Verdict",
}


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(escape(cell) for cell in header) + " |", "|" + "---|" * len(header)]
    lines += ["| " + " | ".join(escape(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


class MarkdownReport(Report):
    """The card's text and tables without plots."""

    name = "markdown"
    summary = "the card as Markdown, without plots"
    suffix = ".md"

    def render_panel(self, records: Sequence[Record]) -> str:
        """Return the Markdown text that sets defenses side by side."""
        data = records[0].dataset
        parts = [f"# Defenses side by side on {escape(data.name)}"]
        if data.simulated:
            parts.append(f"**{escape(data.simulated)}**: these figures are about made-up variation.")
        parts += [f"**{escape(note)}**" for note in data.notes]
        for found in panel.tables(records):
            parts.append(f"{escape(found.caption)}\n\n{table(found.header, found.rows)}")
        return "\n\n".join(parts) + "\n"

    def render(self, source: ReportInput) -> str:
        """Return the Markdown text."""
        record = source.record
        parts = [
            f"# {record.verdict}: {escape(record.defense.name)} on {escape(record.dataset.name)}",
            f"{card.VERDICT_TEXT[record.verdict]} ({escape(record.reason)})",
        ]
        if record.dataset.simulated:
            parts.append(f"> **{escape(record.dataset.simulated)}**: these figures are about made-up variation.")
        parts += [f"> **{escape(note)}**." for note in record.dataset.notes]
        parts += [f"> **COLLAPSED**: {escape(flaw)}." for flaw in record.defense.flaws]
        parts += [f"> {escape(note)}." for note in record.defense.notes]
        if record.missing:
            lines = [f"- {escape(m.attack)}, {escape(m.protocol)}: {escape(m.error)}" for m in record.missing]
            parts.append("**Not finished, and so not a pass:**\n\n" + "\n".join(lines))
        if record.skipped:
            lines = [f"- {escape(m.attack)}, {escape(m.protocol)}: {escape(m.error)}" for m in record.skipped]
            parts.append("**Not run:**\n\n" + "\n".join(lines))
        roles = roles_text(record.dataset.subjects, record.dataset.split)
        options = ", ".join(f"{name}={value}" for name, value in card.flat(record.defense.params)) or "no options"
        parts.append(
            f"{record.dataset.subjects} people ({escape(roles)}), {record.dataset.scans} scans at"
            f" {record.dataset.voxel_mm} mm; seed {record.seed}; {escape(record.defense.name)}: {escape(options)};"
            f" standard battery: {escape(card.battery(record))}"
        )
        cases = [
            (c.knowledge, attack_name(c.finding), c.sentence, str(c.finding.verdict)) for c in card.worst_cases(record)
        ]
        header = ("The attacker holds", "Strongest attack", "What it achieves", "Verdict")
        parts += ["## The worst that happens, by what the attacker holds", table(header, cases)]
        if lines := card.noticed(record):
            parts += ["### What this audit would have noticed", "\n".join(f"- {escape(line)}" for line in lines)]
        rows = [[card.row(f)[column] for column in COLUMNS] for f in record.shown()]
        parts += ["## Figures that decide", table(list(COLUMNS.values()), rows)]
        if lines := advice.reasons(record):
            parts += ["### Why figures are INCONCLUSIVE", "\n".join(f"- {escape(line)}" for line in lines)]
        if lines := advice.to_try(record):
            parts += ["### What to try", "\n".join(f"- {escape(line)}" for line in lines)]
        if record.health:
            checks = [
                (
                    "passed" if h.passed else "FAILED",
                    f"{h.attack}, {h.protocol}",
                    h.name,
                    told(h.figure),
                    h.allowed,
                )
                for h in record.health
            ]
            parts += ["## Do the attacks work?", table(("", "Attack", "Check", "Figure", "Must be"), checks)]
        if record.utility or record.utility_note:
            parts.append("## Utility")
        if record.utility_note:
            parts.append(f"Not measured: {escape(record.utility_note)}.")
        for found in utility.tables(record):
            parts += [escape(found.caption), table(tuple(found.header), found.rows)]
        parts += ["## Not tested here", "\n".join(f"- {escape(text)}" for text in card.untested(record))]
        parts += ["## How it was made", code(record.provenance.get("command", ""))]
        parts.append(
            f"privaudit {escape(record.provenance.get('version'))}, commit {escape(record.provenance.get('commit'))},"
            f" data {escape(record.dataset.fingerprint[:12])}; {escape(record.settings.get('ms_ssim', ''))}"
        )
        return "\n\n".join(parts) + "\n"
