"""The typer application: commands are thin, and print; the work is done elsewhere."""

from __future__ import annotations

import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Callable
from typing import Annotated, Final, NoReturn

import typer

from privaudit._version import __version__
from privaudit.cli import (
    audit,
    capture,
    client,
    encode,
    export,
    keys,
    plan,
    plugins,
    results,
    segment,
    serve,
    setup,
    sweep,
    train,
)
from privaudit.cli.completing import PluginCommand
from privaudit.errors import OptionError, PrivauditError

app = typer.Typer(
    name="privaudit",
    help="Attack and audit schemes that hide medical images from the server that processes them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

UNEXPECTED: Final = 70
"""Exit code of a fault of the program or of a plugin (EX_SOFTWARE of sysexits.h); 1 is the gate's alone."""

PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True}

SHORT: Final = {
    "audit": "Run attacks on a defense, and write record and card.",
    "attack": "Run one attack on a defense.",
    "plan": "Say what an audit could show, before anything runs.",
    "train": "Train networks for a defense, or what 'bss' attacks with.",
    "segment": "Segment one image through a defense.",
    "encode": "Write what leaves the building, as files.",
    "serve": "Serve a segmentation network to clients.",
    "client": "Segment a BIDS folder by a server elsewhere.",
    "capture": "Record every byte that the real client sends.",
    "export": "Export the server's network for other servers.",
    "key-audit": "Check keys for repetitions, short periods and bias.",
    "sweep": "Audit a defense over a grid of its options.",
    "report": "Write the card of a run.",
    "check": "Compare a run with a committed baseline: a gate for CI.",
    "baseline": "Print the baseline of a run, the file to commit.",
    "compare": "Say for each figure which of two runs leaks more.",
    "schema": "Print the JSON Schema of record.json.",
    "init": "Write a specification or an encoder to start from.",
    "doctor": "Print versions, device, plugins and data that is found.",
}
"""Commands in a line of a terminal of 80 columns; their own help says more."""


def _add(name: str, command: Callable[..., None], *, plugins: bool = False, epilog: str | None = None) -> None:
    """Add a command; to one with ``plugins`` all options of plugins may be given."""
    add = app.command(
        name, cls=PluginCommand if plugins else None, context_settings=PASS_THROUGH if plugins else None,
        epilog=epilog, short_help=SHORT[name],
    )  # fmt: skip
    add(command)


_add("audit", audit.audit, plugins=True, epilog=audit.EPILOG)
_add("attack", audit.attack, plugins=True, epilog=audit.EPILOG)
_add("plan", plan.plan, plugins=True, epilog=audit.EPILOG)
_add("train", train.train, plugins=True, epilog=train.EPILOG)
_add("segment", segment.segment, plugins=True)
_add("encode", encode.encode, plugins=True)
_add("serve", serve.serve)
_add("client", client.client, plugins=True)
_add("capture", capture.capture, plugins=True, epilog=audit.EPILOG)
_add("export", export.export)
_add("key-audit", keys.key_audit, plugins=True)
_add("sweep", sweep.sweep, plugins=True, epilog=audit.EPILOG)
_add("report", results.report)
_add("check", results.check)
_add("baseline", results.baseline)
_add("compare", results.compare)
for kind in ("attacks", "defenses", "datasets", "reports", "claims"):
    app.add_typer(plugins.make_app(kind), name=kind)
_add("schema", results.schema)
_add("init", setup.init)
_add("doctor", setup.doctor)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"privaudit {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Attack and audit schemes that hide medical images from the server that processes them."""


def main() -> None:
    """Run the command line.

    An error that the user can mend is one line on stderr and exit code 2. Any other is one line, a report file and exit
    code 70: never 1, by which the gate says that leakage has grown.
    """
    try:
        _check_arguments(sys.argv)
        app()
    except PrivauditError as error:
        typer.echo(f"privaudit: error: {error}", err=True)
        sys.exit(error.exit_code)
    except SystemExit as stop:
        _leave(stop)
    except Exception as error:
        _report(error)


def _check_arguments(words: list[str]) -> None:
    """Paths are hashed, and the command stands in records: it must be text.

    Raises:
        OptionError: a word is not UTF-8.
    """
    for word in words:
        try:
            word.encode()
        except UnicodeEncodeError:
            shown = os.fsencode(word).decode("utf-8", "backslashreplace")
            raise OptionError("an argument is not UTF-8", got=shown, todo="rename the file or folder") from None


def _leave(stop: SystemExit) -> NoReturn:
    """Exit as the command said, unless typer has made an exit of something that went wrong."""
    inner = stop.__context__
    cause = inner and (inner.__cause__ or inner)
    if isinstance(cause, KeyboardInterrupt):
        typer.echo("privaudit: stopped; finished work is kept, the same command continues from there", err=True)
        sys.exit(130)
    if isinstance(cause, OSError) and cause.errno == errno.EPIPE:
        sys.exit(141)
    if isinstance(cause, EOFError):
        _report(cause)
    raise stop


def _report(error: Exception) -> NoReturn:
    """Write down an unexpected error where only the user can read it, and say where: its text may name people."""
    text = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="privaudit-error-", suffix=".txt", encoding="utf-8", errors="backslashreplace", delete=False
        ) as stream:
            stream.write(f"privaudit {__version__}\n{text}")
        where = f"the report is {stream.name}"
    except OSError as full:
        where = f"no report could be written: {full.strerror}"
    what = f"unexpected error: {type(error).__name__}, a fault of privaudit or of a plugin"
    typer.echo(f"privaudit: {what}; {where}", err=True)
    sys.exit(UNEXPECTED)
