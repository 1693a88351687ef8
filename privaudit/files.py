"""Reading and writing of small files: defects are errors that name the file.

Writing is atomic: a file is either the old one or the whole new one, whatever kills the process.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from privaudit.errors import PrivauditError, WriteError


def read_text(path: Path, error: type[PrivauditError], todo: str | None = None) -> str:
    """Read UTF-8 text.

    Raises:
        PrivauditError: of the class ``error``: the file cannot be read, or is no text; ``todo`` says what to do.
    """
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as found:
        reason = found.strerror if isinstance(found, OSError) else "it is no text in UTF-8"
        raise error(f"{path} cannot be read: {reason}", todo=todo) from None


def parse_json(text: str, source: str, error: type[PrivauditError], todo: str | None = None) -> Any:
    """Read JSON.

    Raises:
        PrivauditError: of the class ``error``: ``source`` is not JSON, or is nested or has numbers beyond all measure.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as found:
        raise error(f"{source} is not JSON: {' '.join(str(found).split())[:200]}", todo=todo) from None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what the system says against writing into one error.

    Raises:
        WriteError: the block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise WriteError(f"{path} cannot be written: {reason}", todo="make room, or choose another place") from error


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path in the same folder and move it to ``path`` when the block ends well.

    The temporary name keeps the suffixes of ``path`` (``.nii.gz``), which some writers look at.

    Raises:
        WriteError: the place is missing, full or read-only.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".tmp-", suffix="".join(path.suffixes[-2:]))
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            with temporary.open("rb+") as stream:
                os.fsync(stream.fileno())
            temporary.chmod(0o666 & ~_umask())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically, creating the folder."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
