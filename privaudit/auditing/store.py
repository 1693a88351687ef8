"""The run folder: each finished job is stored at once, and the same command after a kill continues where it stopped.

One file per job, ``jobs/<job>.jsonl``: a header with the job's key, one line per scored row, a last line when done. A
line torn by a kill is dropped on reading. The key covers code, parameters, data and seed; when it differs, the job is
computed again, and :meth:`JobFile.open` says which part changed.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from privaudit.errors import PrivauditError
from privaudit.files import write_text
from privaudit.scoring.rows import Row


@dataclass
class JobFile:
    """The stored state of one job.

    Attributes:
        path: its file.
        key: what determines its result, in named parts.
        rows: finished rows, in order.
        done: whether it is complete; then ``seconds`` is the time it took over all sessions.
        note: why it is reused, resumed or computed, for ``--explain``.
        fresh: whether nothing of this key was there.
    """

    path: Path
    key: Mapping[str, Any]
    rows: list[Row] = field(default_factory=list)
    done: bool = False
    seconds: float = 0.0
    note: str = ""
    fresh: bool = True
    _stream: IO[str] | None = field(default=None, repr=False)

    @classmethod
    def open(cls, path: Path, key: Mapping[str, Any]) -> JobFile:
        """Read what is there; rows of another key are dropped."""
        job = cls(path, json.loads(json.dumps(key)))
        lines = _whole_lines(path)
        if not lines:
            job.note = "computed: no earlier result"
            return job
        old = lines[0].get("key", {})
        changed = sorted(part for part in {*old, *job.key} if old.get(part) != job.key.get(part))
        if changed:
            job.note = "computed again: " + "; ".join(_change(p, old.get(p), job.key.get(p)) for p in changed)
            return job
        job.fresh = False
        for line in lines[1:]:
            if "row" in line:
                job.rows.append(line["row"])
            job.seconds = max(job.seconds, float(line.get("seconds", 0.0)))
            job.done = job.done or line.get("done") == len(job.rows)
        if job.done:
            job.note = "reused"
        else:
            job.note = f"resumed after {len(job.rows)} rows" if job.rows else "computed: an earlier try left nothing"
        return job

    def begin(self) -> None:
        """Put the key on disk, so that what the attack keeps beside it is known to be of this job."""
        if self._stream is None:
            # Rewriting what is kept drops a torn line and a stale header; the move makes it one step.
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self.path.with_suffix(".tmp")
            head = [{"key": self.key}, *({"row": row, "seconds": self.seconds} for row in self.rows)]
            temporary.write_text("".join(json.dumps(item) + "\n" for item in head), encoding="utf-8")
            temporary.replace(self.path)
            self._stream = self.path.open("a", encoding="utf-8")

    def _write(self, line: Mapping[str, Any]) -> None:
        self.begin()
        assert self._stream is not None
        self._stream.write(json.dumps(line) + "\n")
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def append(self, row: Row, seconds: float) -> None:
        """Store one row on disk before returning."""
        self._write({"row": row, "seconds": seconds})
        self.rows.append(row)

    def finish(self, seconds: float) -> None:
        """Mark the job complete."""
        self._write({"done": len(self.rows), "seconds": seconds})
        self.done, self.seconds = True, seconds
        self.close()

    def close(self) -> None:
        """Release the file."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    out = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        try:
            item = json.loads(line)
        except json.JSONDecodeError:
            break
        if not isinstance(item, dict):
            break
        out.append(item)
    return out


def _change(part: str, old: object, new: object) -> str:
    def short(value: object) -> str:
        text = json.dumps(value, sort_keys=True)
        return text if len(text) <= 60 else text[:57] + "..."

    return f"{part} changed ({short(old)} → {short(new)})"


def lock(run: Path) -> AbstractContextManager[Any]:
    """Hold the run folder: two processes must not write one run.

    Raises:
        PrivauditError: another process holds it.
    """
    run.mkdir(parents=True, exist_ok=True)
    handle = FileLock(run / ".lock")
    try:
        return handle.acquire(timeout=0)
    except Timeout:
        raise PrivauditError(
            f"another process is writing {run}", todo="wait for it, or choose another folder with --out"
        ) from None


def write_table(store: JobFile, folder: Path) -> None:
    """Write the rows of an attack on the transcripts as they are to a CSV file; other jobs have none."""
    if not store.rows or not store.path.name.endswith(".audit.jsonl"):
        return
    text = io.StringIO()
    columns = dict.fromkeys(name for row in store.rows for name in row if not name.endswith("patches"))
    writer = csv.DictWriter(text, fieldnames=list(columns), extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(store.rows)
    write_text(folder / f"{store.path.name.removesuffix('.audit.jsonl')}.csv", text.getvalue())
