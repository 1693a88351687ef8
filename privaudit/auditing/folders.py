"""Folders that audits write: whose they are, and what of an earlier audit is removed from them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from privaudit.auditing.spec import AuditSpec, dump_spec, parse_spec, read_spec
from privaudit.auditing.telling import told
from privaudit.contracts import plugin
from privaudit.contracts.report import Report
from privaudit.errors import PluginError
from privaudit.files import check_own, private_folder, write_text, writing
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


WHOLE = Path("jobs") / "spec.yaml"
"""The specification with its folders, where the one that is told has none: the run's owner alone may read it."""


def write_spec(run: Path, spec: AuditSpec, shareable: bool) -> None:
    """Write the specification of a run; of a cohort that is not shareable without folders, which may name people.

    Raises:
        WriteError: it cannot be written.
    """
    private_folder(run / WHOLE.parent)
    write_text(run / WHOLE, dump_spec(spec), private=True)
    if shareable:
        write_text(run / "spec.yaml", dump_spec(spec))
        return
    short = parse_spec(told(spec.model_dump(mode="json")), "spec.yaml")
    write_text(run / "spec.yaml", f"# Paths are cut to their last parts; {WHOLE} has them whole.\n{dump_spec(short)}")


def spec_of(run: Path) -> AuditSpec:
    """The specification of a run, with its folders where they are kept.

    Raises:
        OptionError: it is missing or damaged.
    """
    return read_spec(run / WHOLE if (run / WHOLE).is_file() else run / "spec.yaml")


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
