"""The ledger of what was sent: how many encoded views of which scan, over all requests ever made with it."""

from __future__ import annotations

import re
from pathlib import Path

from filelock import FileLock

from privaudit.errors import DataError, OptionError
from privaudit.files import read_text, write_text, writing


class SentLedger:
    """Counts views, and refuses more of one scan than an audit found safe.

    A line is the mark of a scan's voxels (:func:`privaudit.contracts.cohort.mark`) and a number of views; it tells
    nothing else. A scan that was changed, by a filter or by a turn, has another mark and counts as another.

    Args:
        path: a text file; it need not be there.
        most: views of one scan that may ever be sent; None for any number.
    """

    def __init__(self, path: Path, most: int | None = None) -> None:
        if most is not None and most < 1:
            raise OptionError("--max-views must be at least 1", got=most)
        self.path, self._most = path, most

    def spend(self, scan: str, views: int) -> None:
        """Note that views of a scan are about to be sent; do it before the first one is, as any may arrive.

        Args:
            scan: its mark.
            views: how many.

        Raises:
            OptionError: it would be more than may be sent; nothing is noted.
            DataError: the file is something else.
            WriteError: it cannot be written.
        """
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            held = FileLock(self.path.with_name(self.path.name + ".lock")).acquire()
        with held:
            lines = self._lines()
            already = sum(int(count) for mark, count in (line.split() for line in lines) if mark == scan)
            if self._most is not None and already + views > self._most:
                raise OptionError(
                    f"this scan has been sent {already} times, and {views} more views are too many",
                    allowed=f"--max-views {self._most}", todo="send fewer views, or use the earlier label map",
                )  # fmt: skip
            write_text(self.path, "".join(f"{line}\n" for line in [*lines, f"{scan} {views}"]))

    def _lines(self) -> list[str]:
        lines = read_text(self.path, DataError, "name another").splitlines() if self.path.exists() else []
        if not all(re.fullmatch(r"[0-9a-f]{16} [0-9]{1,9}", line) for line in lines):
            raise DataError(
                f"{self.path} is no ledger of what was sent", allowed="16 hex digits and a number a line",
                todo="name another",
            )  # fmt: skip
        return lines
