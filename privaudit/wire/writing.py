"""Writing messages; :mod:`privaudit.wire.messages` says how they look, and reads them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from privaudit.wire.messages import DATATYPES, Array


def datatype_of(array: Array) -> str:
    """The protocol's word for an array's type."""
    return next(word for word, dtype in DATATYPES.items() if dtype == array.dtype)


def _heads(arrays: Mapping[str, Array]) -> list[dict[str, Any]]:
    return [
        {
            "name": name, "shape": list(array.shape), "datatype": datatype_of(array),
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, array in arrays.items()
    ]  # fmt: skip


def _joined(head: Mapping[str, Any], arrays: Mapping[str, Array]) -> tuple[bytes, int]:
    header = json.dumps(head, separators=(",", ":")).encode()
    return b"".join([header, *(np.ascontiguousarray(array).tobytes() for array in arrays.values())]), len(header)


def write_request(name: str, arrays: Mapping[str, Array], wanted: Sequence[str]) -> tuple[bytes, int]:
    """A request's body, and how many bytes of it are the header.

    Args:
        name: of the request.
        arrays: tensors by name, float32 or float16.
        wanted: names of the outputs that are to come back, in binary.
    """
    outputs = [{"name": output, "parameters": {"binary_data": True}} for output in wanted]
    return _joined({"id": name, "inputs": _heads(arrays), "outputs": outputs}, arrays)


def write_answer(
    model: str, version: str, name: str, arrays: Mapping[str, Array], plain: Sequence[str] = ()
) -> tuple[bytes, int | None]:
    """An answer's body, and how many bytes of it are the header; None where all of it is JSON.

    Args:
        model: name of the model.
        version: of the model.
        name: of the request.
        arrays: tensors by name, float32 or float16.
        plain: names of those whose values are to stand in the JSON.
    """
    binary = {key: array for key, array in arrays.items() if key not in plain}
    outputs = _heads(arrays)
    for output in outputs:
        if output["name"] in plain:
            output |= {"data": arrays[output["name"]].ravel().tolist()}
            del output["parameters"]
    head = {"model_name": model, "model_version": version, **({"id": name} if name else {}), "outputs": outputs}
    body, length = _joined(head, binary)
    return body, length if binary else None
