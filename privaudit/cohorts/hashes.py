"""Hashes of files, remembered by size and time of change so that an unchanged file is read once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from privaudit.files import write_text


def hash_file(path: Path) -> str:
    """Return the SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class HashMemory:
    """The hashes of one folder's files, kept as JSON in the cache folder.

    The memory holds no file names, only hashes of them: names of files often tell who is in them.
    """

    def __init__(self, cache: Path, root: Path) -> None:
        self._root = root
        name = hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:16]
        self._path = cache / "hashes" / f"{name}.json"

    def hashes(self, paths: Iterable[Path]) -> dict[str, str]:
        """Return the SHA-256 of each file in the root, by its relative path."""
        known, found = self._read(), {}
        fresh: dict[str, list[int | str]] = {}
        for path in paths:
            relative = path.relative_to(self._root).as_posix()
            status = path.stat()
            key = hashlib.sha256(relative.encode()).hexdigest()
            seen = known.get(key, [])
            if seen[:2] != [status.st_size, status.st_mtime_ns]:
                seen = fresh[key] = [status.st_size, status.st_mtime_ns, hash_file(path)]
            found[relative] = str(seen[2])
        if fresh:
            write_text(self._path, json.dumps(known | fresh))
        return found

    def _read(self) -> dict[str, list[int | str]]:
        try:
            content = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        good = isinstance(content, dict) and all(isinstance(v, list) and len(v) == 3 for v in content.values())
        return content if good else {}
