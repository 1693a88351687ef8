"""Keys of clients in use, as opposed to those of audits."""

from __future__ import annotations

import random
from collections.abc import Sequence

from privaudit.contracts.cohort import Volume
from privaudit.contracts.defense import Defense, Key
from privaudit.errors import OptionError
from privaudit.imaging.patches import Shape


def client_key(defense: Defense, shape: Shape, pool: Sequence[Volume], rng: random.Random | None = None) -> Key:
    """The key of a scan that is really sent: from the operating system's generator, and from no other.

    Args:
        defense: the scheme.
        shape: of the scan, in voxels.
        pool: reference scans.
        rng: where randomness comes from; None for the operating system.

    Raises:
        OptionError: a generator that can be seeded.
    """
    source = random.SystemRandom() if rng is None else rng
    if not isinstance(source, random.SystemRandom):
        raise OptionError(
            "a client's keys come from the operating system: who knows a seed knows them all",
            got=f"a seeded {type(source).__name__}", allowed="random.SystemRandom", todo="leave seeds to audits",
        )  # fmt: skip
    return defense.draw_key(shape, pool, source)
