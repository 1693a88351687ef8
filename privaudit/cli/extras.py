"""Packages that only some commands need."""

from __future__ import annotations

from importlib.util import find_spec

from privaudit.errors import OptionError


def need(extra: str, *packages: str) -> None:
    """Refuse a command whose packages are not installed.

    Raises:
        OptionError: one is missing.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise OptionError(f"this command needs {', '.join(missing)}", todo=f"pip install 'privaudit[{extra}]'")
