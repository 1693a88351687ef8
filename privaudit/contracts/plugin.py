"""Plugins: the base class, and their discovery through entry points.

Built-in plugins and others' come the same way. Only the one asked for is imported; a broken one is listed as broken
and stops nobody else; two distributions that claim one name are an error that names both.
"""

from __future__ import annotations

import difflib
import inspect
import sys
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from privaudit.contracts.options import PluginOptions, parse_options
from privaudit.contracts.references import is_reference, load_reference
from privaudit.errors import PluginError, nearest, short

Kind = Literal["attacks", "defenses", "datasets", "reports", "claims"]
KINDS: tuple[Kind, ...] = ("attacks", "defenses", "datasets", "reports", "claims")


class Plugin:
    """Base of attacks, defenses, datasets, reports and kinds of claims.

    Facts about a plugin are class attributes; what a user may set is ``Options``. The constructor takes options only:
    data comes with the call.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    Options: ClassVar[type[PluginOptions]] = PluginOptions

    def __init__(self, options: PluginOptions | None = None) -> None:
        self.options: Any = self.Options() if options is None else options

    @classmethod
    def from_values(cls, **values: Any) -> Any:
        """Build the plugin from plain values (as typed on the command line or written in a spec)."""
        return cls(parse_options(cls.Options, values, f"'{cls.name}'"))

    @classmethod
    def called(cls, method: str) -> str:
        """How messages name a method that a plugin's author wrote."""
        return f"{cls.__name__}.{method}"

    @property
    def params(self) -> dict[str, Any]:
        """Every option with its value in JSON's types: what the record prints."""
        return dict(self.options.model_dump(mode="json"))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.params.items())})"


P = TypeVar("P", bound=Plugin)


@dataclass(frozen=True)
class Listing:
    """One line of ``privaudit attacks list``: where a plugin comes from and whether it loads."""

    name: str
    distribution: str
    summary: str
    broken: str | None = None


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else "unknown distribution"


def points(kind: Kind) -> dict[str, list[EntryPoint]]:
    """Return the entry points of a kind by name; more than one per name is a conflict."""
    places = [path for path in map(Path, sys.path) if path.exists()]
    return _points(kind, tuple((str(path), path.stat().st_mtime_ns) for path in places))


@lru_cache(maxsize=4 * len(KINDS))
def _points(kind: Kind, places: tuple[tuple[str, int], ...]) -> dict[str, list[EntryPoint]]:
    """Read them once for each state of the import path: a tenth of a second, and a run asks hundreds of times."""
    found: dict[str, dict[tuple[str, str], EntryPoint]] = {}
    for point in entry_points(group=f"privaudit.{kind}"):
        # An editable install beside a build can list one distribution twice: same value, same owner.
        found.setdefault(point.name, {})[(_distribution(point), point.value)] = point
    return {name: list(by_owner.values()) for name, by_owner in sorted(found.items())}


def load(kind: Kind, name: str, base: type[P]) -> type[P]:
    """Import one plugin class, by name or by its place (:mod:`privaudit.contracts.references`).

    Raises:
        PluginError: the name is unknown, two distributions claim it, or it cannot be imported.
    """
    if is_reference(name):
        return load_reference(kind, name, base)
    known = points(kind)
    if name not in known:
        close = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean '{close[0]}'? " if close else ""
        raise PluginError(
            f"no {kind[:-1]} is called '{short(name, 60)}'",
            todo=f"{hint}Known: {', '.join(known) or 'none'} (see 'privaudit {kind} list'), or file.py:Class",
        )
    if len(known[name]) > 1:
        owners = " and ".join(sorted(f"{_distribution(p)} ({p.value})" for p in known[name]))
        raise PluginError(
            f"the {kind[:-1]} '{name}' is claimed by two distributions: {owners}", todo="uninstall one of them"
        )
    (point,) = known[name]
    try:
        cls = point.load()
    except Exception as error:
        raise PluginError(
            f"{kind[:-1]} '{name}' from {_distribution(point)} cannot be imported: {type(error).__name__}: {error}",
            todo="reinstall or uninstall that distribution",
        ) from error
    if not (inspect.isclass(cls) and issubclass(cls, base)):
        raise PluginError(f"{kind[:-1]} '{name}' ({point.value}) is no subclass of {base.__module__}.{base.__name__}")
    if getattr(cls, "name", None) != name:
        raise PluginError(
            f"{point.value} calls itself '{getattr(cls, 'name', None)}' but its entry point is '{name}'",
            todo="make the two names equal",
        )
    return cls


def listing(kind: Kind, base: type[Plugin]) -> list[Listing]:
    """Load every plugin of a kind one by one and say which are broken, and why."""
    rows = []
    for name, found in points(kind).items():
        owner = " and ".join(_distribution(p) for p in found)
        try:
            rows.append(Listing(name, owner, load(kind, name, base).summary))
        except PluginError as error:
            rows.append(Listing(name, owner, "", broken=str(error)))
    return rows


def create(kind: Kind, name: str, base: type[P], values: dict[str, Any] | None = None) -> P:
    """Import a plugin and build it from plain values.

    Raises:
        PluginError: as :func:`load`.
        OptionError: as :func:`~privaudit.contracts.options.parse_options`.
    """
    cls = load(kind, name, base)
    plugin: P = cls(parse_options(cls.Options, values or {}, f"{kind[:-1]} '{name}'"))
    return plugin


__all__ = ["KINDS", "Kind", "Listing", "Plugin", "create", "listing", "load", "nearest", "points"]
