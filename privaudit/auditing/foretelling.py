"""How much work an audit is and how long it may take, in one sentence before it starts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from privaudit.auditing.jobs import Job
from privaudit.auditing.scene import SLOW
from privaudit.imaging.patches import Shape

FIXED: Final = 0.1
"""Seconds of one core for a request of a job, whatever its size."""
PER_MILLION: Final = 0.5
"""Seconds of one core more for each million voxels. Both describe the standard battery, budget quick, on mixup with ten
views: 550 s in its attacks on the default cohort (``privaudit audit``, commit 59743c1)."""
ONE_VIEW: Final = 0.37
"""Of that, for a scheme that sends one view. The same battery on the encoder that ``privaudit init --encoder`` writes
takes 633 s of one core, of which making 300 people is about two minutes; ``reid`` alone on 12 people at 4 mm 3 s."""
ENCODED: Final = 5
"""How often a job asks for the encoding of a request, about; a slow one is kept, and made once."""


def expected_seconds(todo: Mapping[Job, int], shape: Shape, processes: int, views: int = 1, slow: float = 0.0) -> float:
    """A rough guess of the seconds that jobs take; what attacks that learn encode themselves is not in it.

    Args:
        todo: jobs, and how many requests each has.
        shape: voxels of a scan.
        processes: how many work at a time.
        views: of each scan that are sent.
        slow: seconds that the scheme needs to encode one scan, all views.
    """
    share = ONE_VIEW + (1 - ONE_VIEW) * min(views - 1, 9) / 9
    attacks = share * (FIXED + PER_MILLION * math.prod(shape) / 1e6)
    return sum(todo.values()) * (attacks + slow * (1 if slow > SLOW else ENCODED)) / processes


def foretold(todo: Mapping[Job, int], shape: Shape, processes: int, views: int = 1, slow: float = 0.0) -> str:
    """The number of jobs and a rough time, as a line for the person who waits."""
    seconds = expected_seconds(todo, shape, processes, views, slow)
    time = f"{max(1, round(seconds / 60))} min" if seconds >= 60 else "a minute or less"
    besides = f", with {slow:.1f} s to encode a scan" if slow > SLOW else ""
    return (
        f"{len(todo)} jobs (each is an attack in one setting), roughly {time}{besides}; a busy machine needs longer,"
        " scans that attacks encode to learn are not counted, and what an earlier run has finished is not done again"
    )
