"""Ctrl-C during a training: half a step is never kept."""

from __future__ import annotations

import signal
import threading
from typing import Any


class Interrupts:
    """Around one step: Ctrl-C waits for its end, as half a step must not be kept as a whole one.

    A second Ctrl-C does not wait, and then the last checkpoint counts (``within`` stays true).
    """

    def __init__(self) -> None:
        self.within = self._asked = False
        self._before: Any = None

    def __enter__(self) -> None:
        self.within = True
        # Only where Ctrl-C would raise: other handlers, and threads that may not set one, are left alone.
        ours = threading.current_thread() is threading.main_thread()
        if ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._note)

    def _note(self, number: int, frame: object) -> None:
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True

    def __exit__(self, kind: object, *_: object) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)
            self._before = None
        if kind is None:
            self.within = False
            if self._asked:
                raise KeyboardInterrupt
