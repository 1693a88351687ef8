"""How much work an audit is and how long it may take, in one sentence before it starts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from privaudit.auditing.jobs import Job
from privaudit.imaging.patches import Shape

FIXED: Final = 0.1
"""Seconds of one core for a request of a job, whatever its size."""
PER_MILLION: Final = 0.5
"""Seconds of one core more for each million voxels. Both describe the standard battery, budget quick, on mixup with ten
views: 550 s in its attacks on the default cohort (``privaudit audit``, commit 59743c1)."""


def expected_seconds(todo: Mapping[Job, int], shape: Shape, processes: int) -> float:
    """A rough guess of the seconds that jobs take; attacks differ, so it may be wrong by a factor of three.

    Args:
        todo: jobs, and how many requests each has.
        shape: voxels of a scan.
        processes: how many work at a time.
    """
    return sum(todo.values()) * (FIXED + PER_MILLION * math.prod(shape) / 1e6) / processes


def foretold(todo: Mapping[Job, int], shape: Shape, processes: int) -> str:
    """The number of jobs and a rough time, as a line for the person who waits."""
    seconds = expected_seconds(todo, shape, processes)
    time = f"{max(1, round(seconds / 60))} min" if seconds >= 60 else "a minute or less"
    return (
        f"{len(todo)} jobs (each is an attack in one setting), roughly {time}; a slow encoder or a busy machine needs"
        " longer, and what an earlier run has finished is not done again"
    )
