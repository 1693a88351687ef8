"""What may be told of paths: their last parts. Folders often name people and places."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


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
