"""The run folder: each finished job is stored at once, and the same command after a kill continues where it stopped.

One file per job, ``jobs/<job>.jsonl``: a header with the job's key, one line per scored row, a last line when done.
Each line ends with a checksum over itself and all lines before it. From the first line that was torn by a kill,
damaged, moved or written by hand, the file is dropped on reading, and computed again. The key covers code, parameters,
data and seed; when it differs, all is computed again, and :meth:`JobFile.open` says which part changed.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from privaudit.auditing.pseudonyms import Pseudonyms
from privaudit.errors import PrivauditError
from privaudit.files import private_folder, write_text, writing
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
        names: pseudonyms that stand in the file in place of those in ``rows``; None for the same ones.
    """

    path: Path
    key: Mapping[str, Any]
    rows: list[Row] = field(default_factory=list)
    done: bool = False
    seconds: float = 0.0
    note: str = ""
    fresh: bool = True
    names: Pseudonyms | None = field(default=None, repr=False)
    _stream: IO[str] | None = field(default=None, repr=False)
    _sum: str = field(default="", repr=False)

    @classmethod
    def open(
        cls, path: Path, key: Mapping[str, Any], requests: Collection[str] | None = None, every: bool = True,
        names: Pseudonyms | None = None,
    ) -> JobFile:  # fmt: skip
        """Read what is there; rows of another key are dropped, and so is all from the first damage on.

        Args:
            path: of the job's file; it need not be there.
            key: what determines the rows.
            requests: whom rows may be of, each once; None to take any.
            every: a job is complete only when each of these requests has its row.
            names: pseudonyms for the file; the key they come from is part of the job's.
        """
        parts = {**key, **({} if names is None else {"pseudonyms": names.digest})}
        job = cls(path, json.loads(json.dumps(parts)), names=names)
        lines = _whole_lines(path)
        if not lines:
            job.note = "computed: no earlier result"
            return job
        old = lines[0].get("key")
        if not isinstance(old, dict):
            job.note = "computed again: the earlier result is damaged"
            return job
        changed = sorted(part for part in {*old, *job.key} if old.get(part) != job.key.get(part))
        if changed:
            job.note = "computed again: " + "; ".join(_change(p, old.get(p), job.key.get(p)) for p in changed)
            return job
        job.fresh = False
        waiting = None if requests is None else set(requests)
        for line in lines[1:]:
            if "row" in line:
                row = line["row"] if names is None else names.show(line["row"])
                if waiting is not None:
                    if row["request"] not in waiting:
                        break
                    waiting.remove(row["request"])
                job.rows.append(row)
            job.seconds = max(job.seconds, float(line.get("seconds", 0.0)))
            job.done = line.get("done") == len(job.rows) and not (every and waiting)
        if job.done:
            job.rows.sort(key=_request)  # as they were computed
            job.note = "reused"
        else:
            job.note = f"resumed after {len(job.rows)} rows" if job.rows else "computed: an earlier try left nothing"
        return job

    def begin(self) -> None:
        """Put the key on disk, so that what the attack keeps beside it is known to be of this job.

        Raises:
            WriteError: the file cannot be written; :meth:`append` and :meth:`finish` raise it, too.
        """
        if self._stream is None:
            with writing(self.path):
                self._begin()

    def _begin(self) -> None:
        # Rewriting what is kept drops a torn line and a stale header.
        self._rewrite([{"row": self.written(row), "seconds": self.seconds} for row in self.rows])
        self._stream = self.path.open("a", encoding="utf-8")

    def _rewrite(self, lines: Sequence[Mapping[str, Any]]) -> None:
        """Replace the file in one step."""
        private_folder(self.path.parent)
        self._sum = ""
        with writing(self.path):
            write_text(self.path, "".join(map(self._sealed, [{"key": self.key}, *lines])), private=True)

    def written(self, row: Row) -> Row:
        """The row as it stands in files."""
        return row if self.names is None else self.names.hide(row)

    def _sealed(self, line: Mapping[str, Any]) -> str:
        """The next line of the file, with its checksum."""
        self._sum = _checksum(line, self._sum)
        return json.dumps({**line, "sum": self._sum}) + "\n"

    def _write(self, line: Mapping[str, Any]) -> None:
        self.begin()
        assert self._stream is not None
        with writing(self.path):
            self._stream.write(self._sealed(line))
            self._stream.flush()
            os.fsync(self._stream.fileno())

    def append(self, row: Row, seconds: float) -> None:
        """Store one row on disk before returning."""
        self._write({"row": self.written(row), "seconds": seconds})
        self.rows.append(row)

    def finish(self, seconds: float) -> None:
        """Mark the job complete."""
        done = {"done": len(self.rows), "seconds": seconds}
        if self.names is None:
            self._write(done)
        else:  # the order in which rows were computed would tell who is who
            rows = sorted(map(self.names.hide, self.rows), key=_request)
            self.close()
            self._rewrite([*({"row": row} for row in rows), done])
        self.done, self.seconds = True, seconds
        self.close()

    def close(self) -> None:
        """Release the file."""
        if self._stream is not None:
            with suppress(OSError):  # of a full disk, which whoever wrote has been told of
                self._stream.close()
            self._stream = None


def work_folder(job: Path, data: str) -> Path:
    """What a job keeps until its end. The name must not tell an attack whether it runs on a planted leak.

    Args:
        job: its file.
        data: fingerprint of the cohort, which no attack is told.
    """
    return job.with_name(hashlib.sha256(f"{data} {job.name}".encode()).hexdigest()[:16] + ".work")


def _request(row: Mapping[str, Any]) -> str:
    return str(row["request"])


def _checksum(line: Mapping[str, Any], before: str) -> str:
    """Of a line without its own, after the one with the checksum ``before``."""
    return hashlib.sha256((before + json.dumps(line)).encode()).hexdigest()[:16]


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """Lines up to the first that is not as it was written."""
    if not path.is_file():
        return []
    out: list[dict[str, Any]] = []
    before = ""
    for text in path.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]:
        try:
            line = json.loads(text)
            found = line.pop("sum")
            # The text itself, not what it means: '0e0' is no damage that a sum over numbers would notice.
            whole = json.dumps({**line, "sum": found}) == text and found == _checksum(line, before)
            whole = whole and math.isfinite(line.get("seconds", 0.0))
            whole = whole and ("row" not in line or isinstance(line["row"]["request"], str))
        except (ValueError, AttributeError, KeyError, TypeError, RecursionError, OverflowError):
            break
        if not whole:
            break
        before = found
        out.append(line)
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
        WriteError: it cannot be written.
    """
    with writing(run):
        run.mkdir(parents=True, exist_ok=True)
        try:
            return FileLock(run / ".lock").acquire(timeout=0)
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
    writer.writerows(sorted((store.written(row) for row in store.rows), key=_request))
    write_text(folder / f"{store.path.name.removesuffix('.audit.jsonl')}.csv", text.getvalue())
