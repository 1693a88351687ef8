"""Folders that audits write: whose they are, and what of an earlier audit is removed from them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, get_args

from privaudit.auditing.spec import AuditSpec, dump_spec, parse_spec, read_spec
from privaudit.contracts import plugin
from privaudit.contracts.report import Report
from privaudit.errors import OptionError, PluginError
from privaudit.files import check_own, is_file, read_text, write_text, writing
from privaudit.paths import told
from privaudit.scoring.arms import Arm

ERROR = re.compile(rf"utility\.error\.txt|[^.]+\.[^.]+\.({'|'.join(get_args(Arm))})\.error\.txt")
"""Names of the files that say why a job failed."""


def is_run(folder: Path) -> bool:
    """Whether a folder without a marker was made by an audit."""
    return (folder / "jobs").is_dir() and (folder / "spec.yaml").is_file()


def holds_runs(folder: Path) -> bool:
    """The same for the folder of a panel or a sweep."""
    return any(is_run(inner) for inner in folder.iterdir() if inner.is_dir())


def check_run(run: Path) -> None:
    """Refuse a folder that is no run's, before work starts.

    Raises:
        OptionError: it is somebody else's.
        WriteError: it cannot be written.
    """
    check_own(run, "run", is_run)


def clear_run(run: Path) -> None:
    """Remove what an earlier audit concluded: until this one has, the folder must not hold a verdict.

    Only files that audits write are removed, each by its name.
    """
    jobs = run / "jobs"
    tables = [run / "tables" / f"{job.name.removesuffix('.audit.jsonl')}.csv" for job in jobs.glob("*.audit.jsonl")]
    errors = [file for file in jobs.glob("*.error.txt") if ERROR.fullmatch(file.name)]
    with writing(run):
        for file in (run / "record.json", *rendered(run, "card"), *tables, *errors):
            file.unlink(missing_ok=True)


CUT: Final = "# Paths are cut to their last parts: folders may name people and places."
"""The first line of a specification that is told without them."""


def write_spec(run: Path, spec: AuditSpec, shareable: bool) -> None:
    """Write the specification of a run; of a cohort that is not shareable without folders.

    Raises:
        WriteError: it cannot be written.
    """
    cut = spec if shareable else parse_spec(told(spec.model_dump(mode="json")), "spec.yaml")
    write_text(run / "spec.yaml", dump_spec(spec) if shareable else f"{CUT}\n{dump_spec(cut)}")


def spec_of(run: Path) -> AuditSpec:
    """The specification of a run, to open its data again.

    Raises:
        OptionError: it is missing or damaged, or says no more where the data lies.
    """
    if is_file(run / "spec.yaml") and read_text(run / "spec.yaml", OptionError).startswith(CUT):
        raise OptionError(
            f"pictures need the data, and {run} does not say where it lies: its cohort is not shareable",
            todo="repeat the command of the audit with --with-images; what is finished is not computed again",
        )
    return read_spec(run / "spec.yaml")


def rendered(folder: Path, stem: str) -> list[Path]:
    """Files with this stem and the ending of a report that is installed."""
    if not any(folder.glob(f"{stem}.*")):
        return []
    endings = set()
    for name in plugin.points("reports"):
        try:
            endings.add(plugin.load("reports", name, Report).suffix)
        except PluginError:  # a broken one renders nothing
            continue
    return [folder / f"{stem}{ending}" for ending in sorted(endings)]
