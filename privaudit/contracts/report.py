"""The contract of report renderers (entry point ``privaudit.reports``)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from privaudit.contracts.plugin import Plugin
from privaudit.errors import PluginError
from privaudit.results.record import Record


@dataclass(frozen=True)
class Picture:
    """A figure that shows voxels, present only where they may be shown.

    Attributes:
        name: file stem, for example 'encoding'.
        caption: what is seen, in one sentence.
        png: the encoded image.
    """

    name: str
    caption: str
    png: bytes


@dataclass(frozen=True)
class ReportInput:
    """All that a renderer may read: the record, its folder's per-scan tables, and pictures if they may be shown."""

    record: Record
    tables: dict[str, str] = field(default_factory=dict)
    """Per-scan tables by file name, as CSV text with a header; subjects are pseudonyms."""
    pictures: tuple[Picture, ...] = ()


class Report(Plugin):
    """Turns a record into one text document."""

    suffix: ClassVar[str]
    """File name ending, with its dot: '.html'."""

    def render(self, source: ReportInput) -> str:
        """Return the whole document; must not read anything but ``source``."""
        raise NotImplementedError

    def render_panel(self, records: Sequence[Record]) -> str:
        """Return a document that sets audits of several defenses side by side.

        Raises:
            PluginError: this format has none.
        """
        raise PluginError(f"the report '{self.name}' sets no defenses side by side", todo="use html or markdown")
