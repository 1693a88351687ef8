"""Reading and writing of small files: defects are errors that name the file. And whose a folder is.

Writing is atomic: a file is either the old one or the whole new one, whatever kills the process.
"""

from __future__ import annotations

import errno
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from privaudit.errors import OptionError, PrivauditError, WriteError, short


def is_file(path: Path) -> bool:
    """Whether there is a file that can be seen; names that are too long or impossible are of none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def expanded(path: Path) -> Path:
    """The path with '~' replaced by the home folder; as it is where there is no such user."""
    try:
        return path.expanduser()
    except RuntimeError:
        return path


def is_folder(path: Path) -> bool:
    """The same for a folder."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


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
        PrivauditError: of the class ``error``: ``source`` is not JSON, is nested or has numbers beyond all measure, or
            names something twice.
    """
    try:
        data = json.loads(
            text, parse_constant=_no_number, parse_float=_finite, object_pairs_hook=_each_once,
        )  # fmt: skip
        json.dumps(data, ensure_ascii=False).encode()  # half of a pair of surrogates is no text
        return data
    except (ValueError, RecursionError) as found:
        reason = "half of a character" if isinstance(found, UnicodeEncodeError) else short(found)
        raise error(f"{source} is not JSON: {reason}", todo=todo) from None


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is beyond all numbers")
    return number


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is given twice in one object")
    return found


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
def private_files() -> Iterator[None]:
    """Let nobody but the user read what the block writes, whoever writes it: files get mode 0600, folders 0700."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)


def private_folder(path: Path) -> None:
    """Make a folder that nobody else may look into, or close one that is there.

    Raises:
        WriteError: it cannot be made.
    """
    with writing(path):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)


@contextmanager
def atomic_path(path: Path, private: bool = False) -> Iterator[Path]:
    """Yield a temporary path in the same folder and move it to ``path`` when the block ends well.

    The temporary name keeps the suffixes of ``path`` (``.nii.gz``), which some writers look at. A private file can be
    read by nobody else.

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
            temporary.chmod(0o600 if private else 0o666 & ~_umask())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str, private: bool = False) -> None:
    """Write UTF-8 text atomically, creating the folder."""
    with atomic_path(path, private) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_place(path: Path) -> None:
    """Try whether something can be written to a folder, or to where it would be made; nothing stays behind.

    Raises:
        WriteError: it cannot: the disk is full, or read-only, or a file is in the way.
    """
    with writing(path):
        place = path.absolute()
        while not place.exists():
            place = place.parent
        if not place.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        with tempfile.TemporaryFile(dir=place) as probe:
            probe.write(bytes(4096))
            probe.flush()
            os.fsync(probe.fileno())


def refuse_same(output: Path, *inputs: Path | None) -> None:
    """Refuse to write over what is read, whatever names or links lead there.

    Raises:
        OptionError: the output is one of the inputs.
    """
    for path in inputs:
        if path is not None and path.exists() and output.exists() and output.samefile(path):
            raise OptionError(f"{output} would replace {path}, which is read", todo="choose another name to write to")


def check_own(folder: Path, kind: str, earlier: Callable[[Path], bool]) -> None:
    """Refuse a folder that holds something else than what is to be written there; nothing is written.

    It may be missing or empty, or have the marker that :func:`claim` leaves.

    Args:
        folder: where something is to be written, and files of an earlier time replaced.
        kind: 'run', 'weights', …: of what is written.
        earlier: whether a folder without a marker was made by a version that left none.

    Raises:
        OptionError: it is somebody else's.
        WriteError: it cannot be read or written.
    """
    check_place(folder)
    with writing(folder):
        names = {entry.name for entry in folder.iterdir()} - {".lock"} if folder.exists() else set()
    if names and _marker(kind) not in names and not earlier(folder):
        raise OptionError(
            f"{folder} holds files that are of no {kind} of privaudit, and could be overwritten",
            allowed="a new or an empty folder, or one that the same command has made",
            todo="choose another folder with --out",
        )


def claim(folder: Path, kind: str) -> None:
    """Mark a folder as one that privaudit writes.

    Raises:
        WriteError: it cannot be written.
    """
    if not (folder / _marker(kind)).is_file():
        write_text(folder / _marker(kind), f"privaudit writes its {kind} into this folder, and replaces files of it.\n")


def _marker(kind: str) -> str:
    return f".privaudit-{kind}"
