"""Inner loops, compiled by numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

P = ParamSpec("P")
R = TypeVar("R")


def compiled(*flags: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Compile on first use, keep the result on disk, and let other threads run meanwhile.

    Args:
        flags: what the compiler may do to sums and products, in LLVM's words.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        jit = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath=set(flags))
        return cast("Callable[P, R]", jit(function))

    return decorate
