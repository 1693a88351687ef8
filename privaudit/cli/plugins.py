"""``privaudit attacks|defenses|datasets|reports|claims list|show NAME``."""

from __future__ import annotations

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
        for line in option_lines(cls):
            typer.echo(line)

    return app


def _show_protocols(cls: type[Plugin]) -> None:
    from privaudit.contracts.attack import Attack

    attack = cls()
    assert isinstance(attack, Attack)
    typer.echo("protocols against a defense that sends 10 views, and what the attacker holds in each:")
    for protocol in attack.protocols(10):
        role = "decides" if protocol.primary else "supports"
        typer.echo(f"  {protocol.name} ({role}): {', '.join(sorted(protocol.knowledge))}")
    typer.echo("")
