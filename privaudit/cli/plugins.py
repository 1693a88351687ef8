"""``privaudit attacks|defenses|datasets|reports|claims list|show NAME``, and ``check NAME`` of the first two."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from privaudit.cli.completing import base_of, option_lines

if TYPE_CHECKING:
    from privaudit.contracts.plugin import Plugin


def make_app(kind: str) -> typer.Typer:
    """Build the sub-commands of one kind."""
    app = typer.Typer(help=f"List {kind}, or show one with its options.", no_args_is_help=True)

    @app.command("list")
    def list_() -> None:
        """List what is installed, built-in or from other packages; broken ones are named."""
        from privaudit.contracts.plugin import KINDS, listing

        rows = listing(next(k for k in KINDS if k == kind), base_of(kind))
        width = max((len(row.name) for row in rows), default=0)
        for row in rows:
            text = f"BROKEN: {row.broken}" if row.broken else f"{row.summary}  ({row.distribution})"
            typer.echo(f"{row.name:<{width}}  {text}")

    @app.command("show")
    def show(name: Annotated[str, typer.Argument(help="Name of the plugin.")]) -> None:
        """Show one: what it does, what it needs to know, and its options with types and defaults."""
        import inspect

        from privaudit.contracts.plugin import KINDS, load

        cls = load(next(k for k in KINDS if k == kind), name, base_of(kind))
        typer.echo(f"{cls.name}: {cls.summary}\n")
        if cls.__doc__:
            typer.echo(inspect.cleandoc(cls.__doc__) + "\n")
        if kind == "attacks":
            _show_protocols(cls)
        for line in option_lines(cls, shutil.get_terminal_size().columns if sys.stdout.isatty() else 0):
            typer.echo(line)

    if kind in ("attacks", "defenses"):
        app.command("check", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(_check(kind))
    return app


def _check(kind: str) -> Callable[..., None]:
    def check(
        context: typer.Context,
        name: Annotated[str, typer.Argument(help="Name of the plugin, or its place: my_file.py:MyClass.")],
    ) -> None:
        """Check that one keeps its contract, on toy volumes; exit code 3 if it does not. Its options are options."""
        import tempfile
        from pathlib import Path

        from privaudit.auditing.conformance import check_attack, check_defense
        from privaudit.cli.routing import read_pairs

        values = {key.rpartition(".")[2]: value for key, value in read_pairs(context.args)}
        failed = False
        with tempfile.TemporaryDirectory() as folder:
            found = check_defense(name, values) if kind == "defenses" else check_attack(name, values, Path(folder))
            for item in found:
                word = "nothing to check" if item.passed is None else "ok" if item.passed else "FAILED"
                typer.echo(f"{word:<16}  {item.what}{f': {item.told}' if item.told else ''}")
                failed |= item.passed is False
        if failed:
            raise typer.Exit(3)

    return check


def _show_protocols(cls: type[Plugin]) -> None:
    from privaudit.contracts.attack import Attack

    attack = cls()
    assert isinstance(attack, Attack)
    typer.echo("protocols against a defense that sends 10 views, and what the attacker holds in each:")
    for protocol in attack.protocols(10):
        role = "decides" if protocol.primary else "supports"
        typer.echo(f"  {protocol.name} ({role}): {', '.join(sorted(protocol.knowledge))}")
    typer.echo("")
