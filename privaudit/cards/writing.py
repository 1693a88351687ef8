"""Writing cards: record, tables and, where they may be shown, pictures go to a renderer; its text to the run folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from privaudit.auditing.spec import AuditSpec
from privaudit.contracts import plugin
from privaudit.contracts.knowledge import Rung
from privaudit.contracts.report import Picture, Report, ReportInput
from privaudit.errors import DataError, PluginError, RecordError
from privaudit.files import read_text, write_text
from privaudit.results.record import Record
from privaudit.results.record_files import read


def report_input(
    run: Path, record: Record, with_images: bool, cache: Path | None, jobs: int = 1, quiet: bool = True,
    spec: AuditSpec | None = None, traffic: Path | None = None, key_secret: Path | None = None,
) -> ReportInput:  # fmt: skip
    """Collect what a renderer may read; voxels only of shareable cohorts or where the user asked.

    Drawing takes a minute, and ``jobs`` processes. A record alone has no pictures: they need data and specification,
    those of captured traffic are drawn from its bytes (``traffic``) or not at all, and those of keys that depend on a
    secret with that (``key_secret``) or not at all.

    Raises:
        RecordError: pictures were asked for, and the folder holds no specification, or traffic or secret is missing.
        PrivauditError: pictures were asked for, and the data is not there any more.
    """
    tables = {file.name: read_text(file, RecordError) for file in sorted((run / "tables").glob("*.csv"))}
    pictures: tuple[Picture, ...] = ()
    alone = not (run / "spec.yaml").is_file()
    if with_images and alone:
        raise RecordError("pictures need the whole run folder, with spec.yaml", got=run, todo="leave out --with-images")
    unheard = traffic is None and any(str(Rung.WIRE) in finding.knowledge for finding in record.findings)
    if with_images and unheard:
        raise RecordError(
            "pictures of captured traffic need its file", got=run,
            todo="repeat the command of the audit with --traffic and --with-images; what is finished is kept",
        )  # fmt: skip
    locked = key_secret is None and bool(record.provenance.get("key_secret"))
    if with_images and locked:
        raise RecordError(
            "pictures need the secret that keys came from", got=run,
            todo="repeat the command of the audit with --key-secret and --with-images; what is finished is kept",
        )  # fmt: skip
    if not unheard and not locked and (with_images or (record.dataset.shareable and not alone)):
        from privaudit.cards.pictures import pictures_of

        try:
            drawn = pictures_of(
                run, cache, utility=bool(record.utility), jobs=jobs, quiet=quiet, spec=spec, traffic=traffic,
                key_secret=key_secret,
            )  # fmt: skip
            pictures = tuple(drawn)
        except (DataError, PluginError):  # of a scheme that fails on a later scan, the record says so
            if with_images:
                raise
    return ReportInput(record, tables, pictures)


def render(source: ReportInput, format_: str) -> tuple[str, str]:
    """Render one format; returns the text and the file name ending."""
    report = plugin.create("reports", format_, Report)
    return report.render(source), report.suffix


def write_cards(
    run: Path, formats: Sequence[str], with_images: bool, cache: Path | None = None, jobs: int = 1, quiet: bool = True,
    spec: AuditSpec | None = None, record: Record | None = None, traffic: Path | None = None,
    key_secret: Path | None = None,
) -> list[Path]:  # fmt: skip
    """Write ``card.<suffix>`` for each format into the run folder.

    Of its record, or of another one that lies there (``record``); ``spec`` says where its data lies, ``traffic``
    what was captured, where transcripts are made of that, and ``key_secret`` what keys depend on.

    Raises:
        RecordError: the folder holds no record.
        PluginError: no such format.
    """
    source = report_input(run, record or read(run), with_images, cache, jobs, quiet, spec, traffic, key_secret)
    out = []
    for name in formats:
        text, suffix = render(source, name)
        path = run / f"card{suffix}"
        write_text(path, text)
        out.append(path)
    return out


def latest_run(runs: Path) -> Path:
    """The run folder whose record was written last.

    Raises:
        RecordError: there is none.
    """
    records = sorted(runs.glob("*/record.json"), key=lambda file: file.stat().st_mtime)
    if not records:
        raise RecordError(f"no finished run in {runs}", todo="run 'privaudit audit', or name a run folder")
    return records[-1].parent
