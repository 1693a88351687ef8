"""From a request that was read to patches, and from maps to an answer."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from starlette.responses import Response

from privaudit.serving.limits import Limits
from privaudit.wire.messages import BINARY_TYPE, INPUT, LENGTH_HEADER, OUTPUT, OUTPUT_HALF, Sent, WireError
from privaudit.wire.writing import write_answer

OUTPUTS: Final = (OUTPUT, OUTPUT_HALF)


def patches_of(sent: Sent, size: int, limits: Limits) -> NDArray[np.float32]:
    """The patches that were sent, [N, *patch].

    Args:
        sent: the request.
        size: side of the network's patches: no side may be shorter.
        limits: how much is accepted.

    Raises:
        WireError: they are not what the network takes.
    """
    if list(sent.arrays) != [INPUT]:
        raise WireError("a request has one input", allowed=INPUT)
    array = sent.arrays[INPUT]
    if array.ndim != 5 or array.shape[1] != 1 or not len(array):
        raise WireError("patches have the shape [N, 1, X, Y, Z]", got=list(array.shape))
    if len(array) > limits.patches or array[0].size > limits.voxels:
        raise WireError(
            "there is too much in one request", got=list(array.shape),
            allowed=f"{limits.patches} patches, each of {limits.voxels} voxels",
        )  # fmt: skip
    if min(array.shape[2:]) < size:
        raise WireError("a side is shorter than the network's patches", got=list(array.shape), allowed=size)
    patches = array[:, 0].astype(np.float32, copy=False)
    if not np.isfinite(patches).all():
        raise WireError("patches hold values that are not finite")
    return patches


def wanted_of(sent: Sent) -> dict[str, bool]:
    """Outputs that are asked for, and whether in binary.

    Raises:
        WireError: there is no such output.
    """
    usual = bool(sent.head.parameters.get("binary_data_output", False))
    wanted = {w.name: bool(w.parameters.get("binary_data", usual)) for w in sent.head.outputs} or {OUTPUT: usual}
    if unknown := wanted.keys() - set(OUTPUTS):
        raise WireError("there is no such output", got=f"{len(unknown)} unknown", allowed=list(OUTPUTS))
    return wanted


def answer_of(sent: Sent, maps: NDArray[np.float32], wanted: dict[str, bool], model: str, version: str) -> Response:
    """The answer to a request with maps [N, C, *patch]."""
    arrays = {name: maps if name == OUTPUT else maps.astype(np.float16) for name in wanted}
    plain = [name for name, binary in wanted.items() if not binary]
    body, header = write_answer(model, version, sent.head.id, arrays, plain)
    if header is None:
        return Response(body, media_type="application/json")
    return Response(body, media_type=BINARY_TYPE, headers={LENGTH_HEADER: str(header)})
