"""What becomes of a malformed input: refused in one line, accepted for a reason, or one of the things that count."""

from __future__ import annotations

import random
import signal
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Final

from privaudit.errors import PrivauditError

SECONDS: Final = 20.0
"""After which a case hangs. The slowest takes a second on a quiet machine."""
LONGEST: Final = 2500
"""Characters of a message: a line that somebody reads."""
FAULTS: Final = ("tracebacks", "hangs", "silent acceptances", "part-written files", "unreadable messages")


class Hang(BaseException):
    """A case took too long."""


class Silent(AssertionError):
    """Something was accepted that is not what was given."""


Case = Callable[[random.Random, Path], None]
"""Makes one malformed input from a generator, in a folder of its own, and reads it as the product does.

It raises what the product raises, and :class:`Silent` where the product has accepted what it must not.
"""


@dataclass
class Tally:
    """Counts of a number of cases.

    Attributes:
        counts: cases, refusals, acceptances, and each kind of fault.
        found: what went wrong: target, seed, fault and where.
    """

    counts: Counter[str] = field(default_factory=Counter)
    found: list[tuple[str, int, str, str]] = field(default_factory=list)

    def __add__(self, other: Tally) -> Tally:
        return Tally(self.counts + other.counts, self.found + other.found)

    @property
    def faults(self) -> dict[str, int]:
        """How often each kind of fault was met."""
        return {fault: self.counts[fault] for fault in FAULTS}


def judge(name: str, case: Case, seed: int, tally: Tally) -> None:
    """Run one case and count what became of it."""

    def note(fault: str, what: str) -> None:
        tally.counts[fault] += 1
        tally.found.append((name, seed, fault, what))

    def ring(number: int, frame: FrameType | None) -> None:
        raise Hang

    tally.counts["cases"] += 1
    before = signal.signal(signal.SIGALRM, ring)
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        place = Path(folder)
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            case(random.Random(seed), place)
            tally.counts["accepted"] += 1
        except PrivauditError as error:
            tally.counts["refused"] += 1
            if "\n" in str(error) or len(str(error)) > LONGEST:
                note("unreadable messages", str(error)[:300])
        except Silent as error:
            note("silent acceptances", str(error)[:300])
        except Hang:
            note("hangs", traceback.format_exc(limit=-3)[-600:])
        except Exception:
            note("tracebacks", traceback.format_exc(limit=-4)[-900:])
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        for left in place.rglob(".tmp-*"):
            note("part-written files", left.name)
