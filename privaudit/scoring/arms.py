"""Arms: an attack runs on the transcripts as they are, and on ones with a planted leak, its positive control.

Leaks of smaller and smaller shares, where they are planted too, show from which one on the attack notices anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

Arm = Literal[
    "audit", "planted", "planted-reference", "health",
    "planted-50", "planted-20", "planted-10", "planted-5", "planted-2",
]  # fmt: skip
"""The transcripts as they are, with a planted leak of the target or of the reference's owner, or none: the attack's own
checks of itself; and with smaller leaks of the target."""

PLANTED_SHARE: Final = 0.9
SHARES: Final[Mapping[Arm, float]] = {
    "planted": PLANTED_SHARE, "planted-reference": PLANTED_SHARE,
    "planted-50": 0.5, "planted-20": 0.2, "planted-10": 0.1, "planted-5": 0.05, "planted-2": 0.02,
}  # fmt: skip
"""Raw content of what is sent, by arm."""
ARM_WORDS: Final[Mapping[Arm, str]] = {
    "audit": "the scheme as it is",
    "health": "checks of the attack itself",
    **{
        arm: f"with {share:.0%} of the raw {'reference' if arm == 'planted-reference' else 'image'} planted"
        for arm, share in SHARES.items()
    },
}
"""For people who wait."""
GRADED: Final[tuple[Arm, ...]] = ("planted-50", "planted-20", "planted-10", "planted-5", "planted-2")
PLANTED_TEXT: Final = {
    "planted": f"the same attack on transcripts blended with {PLANTED_SHARE:.0%} of the raw target",
    "planted-reference": f"the same attack on transcripts blended with {PLANTED_SHARE:.0%} of the raw reference",
}


def detection_limit(found: Mapping[float, bool]) -> float | None:
    """The smallest share of the raw image that comes out as a leak, as does every greater one; None if none does.

    >>> detection_limit({0.9: True, 0.5: True, 0.2: False, 0.1: True})
    0.5
    """
    limit = None
    for share in sorted(found, reverse=True):
        if not found[share]:
            break
        limit = share
    return limit
