"""A panel: the same attacks on the same people under several defenses, and one card that sets them side by side.

A panel's specification is that of an audit with ``defenses``, a list, in place of ``defense``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from privaudit.auditing.folders import holds_runs, rendered
from privaudit.auditing.opening import Progress, Settings, open_context
from privaudit.auditing.run import run_audit
from privaudit.auditing.spec import AuditSpec, parse_spec
from privaudit.auditing.witness import look_again
from privaudit.contracts import plugin
from privaudit.contracts.report import Report
from privaudit.errors import OptionError
from privaudit.files import check_own, claim, write_text, writing
from privaudit.results.record import Record
from privaudit.specs import digest_of, named, read_yaml

PANELS = Path("privaudit-panels")


def read_specs(path: Path) -> list[AuditSpec]:
    """The audits that a specification asks for: one, or one for each of its ``defenses``.

    Raises:
        OptionError: the file is missing, is not YAML, or does not fit.
    """
    data: Any = read_yaml(path, "audit specification", "write one with 'privaudit init'")
    if not isinstance(data, dict) or "defenses" not in data:
        return [parse_spec(data, str(path))]
    rest = {key: value for key, value in data.items() if key != "defenses"}
    defenses = data["defenses"]
    if "defense" in rest or not isinstance(defenses, list) or not defenses:
        raise OptionError(f"{path}: 'defenses' is a list of schemes, in place of 'defense'", got=defenses)
    specs = [parse_spec({**rest, "defense": named(item)}, str(path)) for item in defenses]
    if len({spec.digest for spec in specs}) < len(specs):
        raise OptionError(f"{path}: a defense is listed twice with the same options")
    return specs


def panel_folder(specs: Sequence[AuditSpec], out: Path | None) -> Path:
    """Where a panel lives: ``--out``, or a folder named after its specifications."""
    if out is not None:
        return out
    together = digest_of(specs[0].model_copy(update={"seed": int("".join(s.digest for s in specs), 16) % 2**31}))
    return PANELS / f"{specs[0].dataset.label}-{together}"


def run_panel(
    specs: Sequence[AuditSpec], settings: Settings, folder: Path, progress: Progress,
    say: Callable[[str], None] = lambda text: None,
) -> list[tuple[Path, Record]]:  # fmt: skip
    """Run every audit, or what a kill left, each in a folder of its own.

    Raises:
        PrivauditError: bad options or data, or a folder that is somebody else's.
    """
    done = []
    check_own(folder, "panel", holds_runs)
    with writing(folder):
        for file in rendered(folder, "panel"):
            file.unlink(missing_ok=True)  # until every audit has ended, nothing here may hold verdicts
    for spec in specs:
        context, _ = open_context(spec, settings)  # what is wrong with the last must not show after an hour
        look_again(context.scene)
    claim(folder, "panel")
    for spec in specs:
        name = spec.defense.label
        run = folder / f"{name}-{spec.digest}"

        def bars(job: str, total: int, name: str = name) -> Any:
            return progress(f"{name}: {job}", total)

        def begins(text: str, name: str = name) -> None:
            say(f"{name}: {text}")

        done.append((run, run_audit(spec, replace(settings, out=run), bars, begins).record))
    return done


def write_panel(folder: Path, records: Sequence[Record], formats: Sequence[str]) -> list[Path]:
    """Write ``panel.<suffix>`` for each format.

    Raises:
        PluginError: no such format, or one that sets nothing side by side.
    """
    paths = []
    for name in formats:
        report = plugin.create("reports", name, Report)
        path = folder / f"panel{report.suffix}"
        write_text(path, report.render_panel(records))
        paths.append(path)
    return paths
