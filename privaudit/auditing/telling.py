"""What may be told of paths and names: folders often name people and places, and so do messages about files."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from privaudit.contracts.cohort import Cohort

SHORTEST: Final = 2
"""Ids shorter than this are not looked for in texts: they are everywhere."""


def is_path(value: str) -> bool:
    """Whether a text is written as a path with folders."""
    return os.sep in value and "\n" not in value


def base_name(value: str) -> str:
    """The last part of a path; any other text as it is."""
    return (Path(value).name or os.sep) if is_path(value) else value


def marked_name(value: str) -> str:
    """The same, with a hash of the whole: another folder has another one."""
    return f"{base_name(value)} ({hashlib.sha256(value.encode()).hexdigest()[:8]})" if is_path(value) else value


def told(values: Any, name: Callable[[str], str] = base_name) -> Any:
    """Options, however nested, with the last parts of paths alone."""
    if isinstance(values, str):
        return name(values)
    if isinstance(values, Mapping):
        return {key: told(value, name) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [told(value, name) for value in values]
    return values


def paths_in(values: Any) -> set[str]:
    """Every path among options, however nested."""
    if isinstance(values, str | Path):
        return {str(values)} if is_path(str(values)) else set()
    if isinstance(values, Mapping):
        values = list(values.values())
    return {path for value in values for path in paths_in(value)} if isinstance(values, list | tuple) else set()


_QUOTED = re.compile(r"""(['"])([^'"\n]*[/\\][^'"\n]*)\1""")
_PLAIN = re.compile(r"""[^\s'"()<>,;:]*[/\\][^\s'"()<>,;:]*""")


def without_names(text: str, cohort: Cohort, known: Iterable[str] = ()) -> str:
    """A text without folders, ids of people, and names of sessions; that of a shareable cohort as it is.

    Args:
        text: a message, say.
        cohort: whose people are not to be named.
        known: paths that may stand in it, with blanks in them perhaps.
    """
    if cohort.shareable:
        return text
    for path in sorted({form for name in known for form in _forms(name)}, key=len, reverse=True):
        text = text.replace(path, Path(path).name)
    text = _QUOTED.sub(lambda found: found[1] + re.split(r"[/\\]", found[2])[-1] + found[1], text)
    text = _PLAIN.sub(lambda found: re.split(r"[/\\]", found[0])[-1], text)
    ids = {scan.subject for scan in cohort.scans} | {scan.session for scan in cohort.scans}
    long = sorted((re.escape(name) for name in ids if len(name) >= SHORTEST), key=len, reverse=True)
    # Not within longer numbers and words: the session '02' is in many figures.
    return re.sub(rf"(?<![0-9A-Za-z])(?:{'|'.join(long)})(?![0-9A-Za-z])", "[...]", text) if long else text


def _forms(path: str) -> set[str]:
    return {path, str(Path(path).expanduser()), str(Path(path).expanduser().absolute())}
