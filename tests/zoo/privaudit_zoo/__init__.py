"""Image encoders of known strength, which judge the attacks: every broken one must be found out, no private one.

Each module says from which publication an encoder is known to be broken. They take whole volumes [X, Y, Z] with values
in [0, 1] and send one view of the same shape. They are no schemes to use: the server's map travels in the plain, by a
side channel, so that only what the image's encoding tells is under test.
"""

from __future__ import annotations

from typing import Final

BROKEN: Final = (
    "zoo-pixelate",
    "zoo-binary",
    "zoo-spectrum",
    "zoo-inverted",
    "zoo-monotone",
    "zoo-grey-permutation",
    "zoo-etc",
    "zoo-etc-scaled",
    "zoo-etc-fixed",
    "zoo-learnable",
    "zoo-orthogonal",
    "zoo-rotations",
    "zoo-convolution",
    "zoo-neuracrypt",
    "zoo-instahide",
    "zoo-signs",
    "zoo-signs-fixed",
    "zoo-rigid",
    "zoo-roll",
    "zoo-turns",
    "zoo-noise-10",
    "zoo-noise-30",
    "zoo-noise-50",
    "zoo-half-noise",
    "zoo-bias",
    "zoo-float-pad",
)
"""Encoders that any expert calls broken: an audit must say LEAK."""

PRIVATE: Final = ("zoo-uniform-noise", "zoo-one-time-pad", "zoo-stream-cipher")
"""Encoders whose encodings tell nothing about the image: an audit must never say LEAK."""
