"""Arms: an attack runs on the transcripts as they are, and on ones with a planted leak, its positive control."""

from __future__ import annotations

from typing import Final, Literal

Arm = Literal["audit", "planted", "planted-reference", "health"]
"""The transcripts as they are, with a planted leak of the target or of the reference's owner, or none: the attack's own
checks of itself."""

PLANTED_SHARE: Final = 0.9
PLANTED_TEXT: Final = {
    "planted": f"the same attack on transcripts blended with {PLANTED_SHARE:.0%} of the raw target",
    "planted-reference": f"the same attack on transcripts blended with {PLANTED_SHARE:.0%} of the raw reference",
}
