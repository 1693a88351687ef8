"""The typer application: commands are thin, and print; the work is done elsewhere."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from privaudit._version import __version__
from privaudit.cli import audit, keys, plan, plugins, results, segment, setup, sweep, train
from privaudit.errors import PrivauditError

app = typer.Typer(
    name="privaudit",
    help="Attack and audit schemes that hide medical images from the server that processes them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True}

app.command("audit", context_settings=PASS_THROUGH, epilog=audit.EPILOG)(audit.audit)
app.command("attack", context_settings=PASS_THROUGH, epilog=audit.EPILOG)(audit.attack)
app.command("plan", context_settings=PASS_THROUGH, epilog=audit.EPILOG)(plan.plan)
app.command("train", context_settings=PASS_THROUGH, epilog=train.EPILOG)(train.train)
app.command("segment", context_settings=PASS_THROUGH)(segment.segment)
app.command("key-audit", context_settings=PASS_THROUGH)(keys.key_audit)
app.command("sweep", context_settings=PASS_THROUGH, epilog=audit.EPILOG)(sweep.sweep)
app.command("report")(results.report)
app.command("check")(results.check)
app.command("baseline")(results.baseline)
app.command("compare")(results.compare)
for kind in ("attacks", "defenses", "datasets", "reports", "claims"):
    app.add_typer(plugins.make_app(kind), name=kind)
app.command("schema")(results.schema)
app.command("init")(setup.init)
app.command("doctor")(setup.doctor)


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
    """Run the command line; an error the user can mend is one line on stderr and exit code 2."""
    try:
        app()
    except PrivauditError as error:
        typer.echo(f"privaudit: error: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        typer.echo("privaudit: stopped; what was finished is kept, and the same command continues from there", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.exit(141)
