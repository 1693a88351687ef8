"""Merging a specification with what was typed: the part that every command with pass-through options shares."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from privaudit.contracts.options import PluginOptions, parse_options

Sections = dict[str, tuple[dict[str, Any], type[PluginOptions]]]
"""A specification's part (changed in place) and the options it is checked against, by the name that options go to."""


def unknown_first(argument: str | None, extra: list[str]) -> tuple[Path | None, list[str]]:
    """Return the optional path argument and the options; click takes the first unknown option for the argument."""
    if argument is not None and argument.startswith("--"):
        return None, [argument, *extra]
    return None if argument is None else Path(argument), list(extra)


def choose_plugins(data: dict[str, Any], **wanted: str | None) -> Sections:
    """Put the plugins asked for into a specification, by kind; options of others are dropped with them."""
    from privaudit.contracts import plugin
    from privaudit.contracts.cohort import Dataset
    from privaudit.contracts.defense import Defense

    bases: dict[str, tuple[plugin.Kind, type[plugin.Plugin]]] = {
        "dataset": ("datasets", Dataset), "defense": ("defenses", Defense),
    }  # fmt: skip
    sections: Sections = {}
    for kind, name in wanted.items():
        if name is not None and name != data[kind]["name"]:
            data[kind] = {"name": name}
        cls = plugin.load(bases[kind][0], data[kind]["name"], bases[kind][1])
        sections[cls.name] = data[kind], cls.Options
    return sections


def fill(sections: Sections, routed: Mapping[str, Mapping[str, str]]) -> None:
    """Add routed options to each section.

    They are checked here, and written out in full, so that text and YAML give one specification.
    """
    for name, (item, options) in sections.items():
        given = {key: value for key, value in item.items() if key != "name"} | dict(routed[name])
        typed = frozenset(key.replace("-", "_") for key in routed[name])
        checked = parse_options(options, given, f"'{name}'", typed).model_dump(mode="json")
        item |= {key: checked[key] for key in (k.replace("-", "_") for k in given)}
