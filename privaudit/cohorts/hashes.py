"""Hashes of files, remembered by size and time of change so that an unchanged file is read once."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from privaudit.cohorts.progress import run_jobs
from privaudit.errors import DataError
from privaudit.files import write_text


def hash_file(path: Path) -> str:
    """Return the SHA-256 (hex) of a file's bytes.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from None


class HashMemory:
    """The hashes of one folder's files, kept as JSON in the cache folder.

    The memory holds no file names, only hashes of them: names of files often tell who is in them.

    Args:
        cache: the cache folder.
        root: the files' folder.
        hash_of: of a file; the SHA-256 of its bytes, or a function of its own that can be sent to other processes.
        kind: names that function's memory.
    """

    def __init__(
        self, cache: Path, root: Path, hash_of: Callable[[Path], str] = hash_file, kind: str = ""
    ) -> None:  # fmt: skip
        self._root, self._hash_of = root, hash_of
        name = hashlib.sha256(os.fsencode(root.resolve())).hexdigest()[:16]
        self._path = cache / "hashes" / f"{name}{kind}.json"

    def hashes(self, paths: Iterable[Path], jobs: int = 1, quiet: bool = True) -> dict[str, str]:
        """Return the hash of each file in the root, by its relative path; ``jobs`` processes take those that are new.

        Raises:
            DataError: a file cannot be read.
        """
        known = self._read()
        found: dict[str, str] = {}
        new: dict[str, Path] = {}
        states: dict[str, tuple[str, list[int]]] = {}
        for path in paths:
            relative = path.relative_to(self._root).as_posix()
            try:
                status = path.stat()
            except OSError as error:
                raise _unreadable(path, error) from None
            key, state = hashlib.sha256(relative.encode()).hexdigest(), [status.st_size, status.st_mtime_ns]
            states[relative] = key, state
            seen = known.get(key, [])
            if seen[:2] == state:
                found[relative] = str(seen[2])
            else:
                new[relative] = path
        work = [(path,) for path in new.values()]
        found |= zip(new, run_jobs(self._hash_of, work, jobs, f"reading {len(new)} files", quiet), strict=True)
        if new:
            fresh = {states[name][0]: [*states[name][1], found[name]] for name in new}
            write_text(self._path, json.dumps(known | fresh))
        return found

    def _read(self) -> dict[str, list[int | str]]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        good = isinstance(content, dict) and all(isinstance(v, list) and len(v) == 3 for v in content.values())
        return content if good else {}


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path} cannot be read: {error.strerror}", todo="restore it, or drop the scan")
