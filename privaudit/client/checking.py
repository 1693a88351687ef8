"""What a client can see of a server that lies. What it cannot see is said in ``docs/serving.md``."""

from __future__ import annotations

from typing import Final

import numpy as np

from privaudit.client.connection import ServerError
from privaudit.wire.messages import Answer, Array

ROUNDING: Final = {"float32": 1e-3, "float16": 1e-2}
"""How far probabilities of one voxel may be from adding up to 1."""


def check_answer(head: Answer, arrays: dict[str, Array], name: str, output: str, shape: tuple[int, ...]) -> Array:
    """The maps [N, C, *patch] of an answer, if they are maps of what was asked.

    Args:
        head: of the answer.
        arrays: its tensors.
        name: of the request.
        output: that was asked for.
        shape: that its maps must have.

    Raises:
        ServerError: another request's answer, another shape, values that are no probabilities.
    """
    if head.id != name:
        raise ServerError("the server answers another request than it was sent", got=f"{len(head.id)} other characters")
    if list(arrays) != [output]:
        raise ServerError("the server sends other tensors than were asked for", got=len(arrays), allowed=output)
    maps = arrays[output]
    if maps.shape != shape:
        raise ServerError("the server sends maps of another shape", got=list(maps.shape), allowed=list(shape))
    wide = maps.astype(np.float32, copy=False)
    if not np.isfinite(wide).all():
        raise ServerError("the server sends values that are not finite", todo="do not trust its other answers either")
    slack = ROUNDING[maps.dtype.name]
    if wide.min() < -slack or np.abs(wide.sum(axis=1) - 1).max() > slack:
        raise ServerError(
            "the server sends maps that are no probabilities", got=f"values from {wide.min():.3g} to {wide.max():.3g}",
            allowed="0 to 1, adding up to 1 in each voxel",
        )  # fmt: skip
    return wide
