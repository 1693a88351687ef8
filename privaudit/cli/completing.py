"""Plugins and their options in the shell's completion, and in the help of a command that names one."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

if TYPE_CHECKING:
    from privaudit.contracts.plugin import Kind, Plugin

NAMED = "privaudit.named"
"""Where the context keeps what was typed after the command."""


def names_of(kind: Kind) -> Callable[[str], list[str]]:
    """A completer of the names of plugins; nothing is imported for it."""

    def complete(incomplete: str) -> list[str]:
        from privaudit.contracts.plugin import points

        return [name for name in points(kind) if name.startswith(incomplete)]

    return complete


def base_of(kind: str) -> type[Plugin]:
    """The contract of a kind."""
    if kind == "attacks":
        from privaudit.contracts.attack import Attack

        return Attack
    if kind == "defenses":
        from privaudit.contracts.defense import Defense

        return Defense
    if kind == "datasets":
        from privaudit.contracts.cohort import Dataset

        return Dataset
    if kind == "claims":
        from privaudit.scoring.kind import ClaimKind

        return ClaimKind
    from privaudit.contracts.report import Report

    return Report


def option_lines(cls: type[Plugin], width: int = 0) -> list[str]:
    """Every option of a plugin with type, default and description; lines break at ``width``, 0 for not at all."""
    from privaudit.contracts.options import describe_options

    rows = describe_options(cls.Options)
    lines = ["options:" if rows else "no options"]
    for option, type_, default, text in rows:
        lines += broken(f"  --{option.replace('_', '-')}  {type_}  [default: {default}]", width, "      ")
        lines += broken(f"      {text}", width, "      ")
    return lines


def broken(line: str, width: int, indent: str = "") -> list[str]:
    """A line as several where it is too long, broken between words; ``width`` is 0 where it may be of any length."""
    if not width:
        return [line]
    return textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _chosen(values: dict[str, Any]) -> Iterator[tuple[Kind, str]]:
    """The plugins that a command line names so far, and those that stand in for what it does not name."""
    for kind, key, default in (("datasets", "dataset", "phantom"), ("defenses", "defense", "mixup")):
        if key in values:
            yield kind, values[key] or default  # type: ignore[misc]
    attacks = values.get("attack") or ([values["name"]] if values.get("name") else [])
    yield from (("attacks", name) for name in attacks)


class PluginCommand(TyperCommand):
    """A command that takes options of plugins: completion offers them, and its help shows those of a named attack."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keep what was typed: '--help' stops everything before the name is read."""
        ctx.meta[NAMED] = list(args)
        return super().parse_args(ctx, args)

    def get_help(self, ctx: Any) -> str:
        """The help of the command; of 'attack NAME' with the options of that attack."""
        text = super().get_help(ctx)
        typed = ctx.meta.get(NAMED) or [""]
        if self.name != "attack" or typed[0].startswith("-"):
            return text
        from privaudit.contracts.plugin import load

        cls = load("attacks", typed[0], base_of("attacks"))
        width = ctx.make_formatter().width
        return "\n".join([text, "", *broken(f"{cls.name}: {cls.summary}", width), "", *option_lines(cls, width)])

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Options of the command, and of the plugins that it names."""
        found = super().shell_complete(ctx, incomplete)
        if not incomplete.startswith("-"):
            return found
        from privaudit.contracts.options import describe_options
        from privaudit.contracts.plugin import KINDS, load
        from privaudit.errors import PluginError

        known = {item.value for item in found}
        for kind, name in _chosen(ctx.params):
            assert kind in KINDS
            try:
                options = describe_options(load(kind, name, base_of(kind)).Options)
            except PluginError:  # half a name, say
                continue
            for option, _, _, text in options:
                typed = f"--{option.replace('_', '-')}"
                if typed.startswith(incomplete) and typed not in known:
                    known.add(typed)
                    found.append(completion_item()(typed, help=f"{name}: {text}"))
        return found


def completion_item() -> Any:
    """Typer's own class; where it comes from depends on its version."""
    import importlib

    import typer.core

    own = getattr(typer.core, "CompletionItem", None)
    return own or importlib.import_module("click.shell_completion").CompletionItem
