"""Messages of the Open Inference Protocol v2 (REST) with the binary tensor extension.

A body is a JSON header and, right behind it, the bytes of the tensors that have a ``binary_data_size``, in their order.
The HTTP header ``Inference-Header-Content-Length`` says where the JSON ends. As Triton documents it
(protocol/extension_binary_data); other tensors have their values in the JSON, row by row.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from privaudit.errors import PrivauditError
from privaudit.validation import explain

LENGTH_HEADER: Final = "Inference-Header-Content-Length"
BINARY_TYPE: Final = "application/octet-stream"
INPUT, OUTPUT, OUTPUT_HALF = "patches", "maps", "maps_fp16"
"""Names of the tensors: encoded patches, and maps of probabilities in float32 or, if asked for, in float16."""
DATATYPES: Final[dict[str, np.dtype[Any]]] = {"FP32": np.dtype("<f4"), "FP16": np.dtype("<f2")}
MODEL: Final = "segmentation"
"""What the model is called unless told otherwise: a name that says nothing about anybody."""
MOST_ELEMENTS: Final = 2**31
Array = NDArray[Any]


class WireError(PrivauditError):
    """A message that is not what the protocol says."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


PartT = TypeVar("PartT", bound=_Part)


class Tensor(_Part):
    """Head of one tensor."""

    name: Annotated[str, Field(max_length=64)]
    shape: Annotated[list[Annotated[int, Field(ge=0, le=MOST_ELEMENTS)]], Field(max_length=8)]
    datatype: Annotated[str, Field(max_length=8)]
    parameters: dict[str, Any] = {}
    data: list[Any] | None = None

    @property
    def elements(self) -> int:
        """How many numbers it says it has."""
        return math.prod(self.shape)

    @property
    def binary_size(self) -> int | None:
        """How many bytes behind the header are its; None where its values are in the header.

        Raises:
            WireError: it is no number of bytes.
        """
        size = self.parameters.get("binary_data_size")
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 0):
            raise WireError(f"tensor '{shown(self.name)}': binary_data_size is no number of bytes")
        return size


class Wanted(_Part):
    """One output that is asked for."""

    name: Annotated[str, Field(max_length=64)]
    parameters: dict[str, Any] = {}


class Request(_Part):
    """Header of a request."""

    id: Annotated[str, Field(max_length=128)] = ""
    parameters: dict[str, Any] = {}
    inputs: Annotated[list[Tensor], Field(min_length=1, max_length=16)]
    outputs: Annotated[list[Wanted], Field(max_length=16)] = []


class Answer(_Part):
    """Header of an answer."""

    model_name: Annotated[str, Field(max_length=256)]
    model_version: str = ""
    id: Annotated[str, Field(max_length=128)] = ""
    outputs: Annotated[list[Tensor], Field(max_length=16)]


@dataclass(frozen=True, eq=False)
class Sent:
    """A request as read: its header, and the arrays of its tensors by name."""

    head: Request
    arrays: dict[str, Array]


def shown(text: str) -> str:
    """A name from a stranger, short and without anything that a terminal would act on."""
    return "".join(c if c.isprintable() else "?" for c in text[:40])


def split(body: bytes, length: str | None) -> tuple[bytes, memoryview]:
    """The JSON header and what lies behind it.

    Args:
        body: of the message.
        length: value of the header that says where the JSON ends; None where all of it is JSON.

    Raises:
        WireError: the length is no number, or longer than the body.
    """
    if length is None:
        return body, memoryview(b"")
    if not (length.isascii() and length.isdigit() and len(length) < 12):
        raise WireError(f"{LENGTH_HEADER} is no number", got=repr(shown(length)))
    if int(length) > len(body):
        raise WireError(f"{LENGTH_HEADER} is more than the body has", got=length, allowed=f"at most {len(body)}")
    return body[: int(length)], memoryview(body)[int(length) :]


def read_request(body: bytes, length: str | None, longest_header: int = 2**31) -> Sent:
    """Read a request.

    Args:
        body: of the HTTP request.
        length: of its JSON header, as the HTTP header says; None where there is none.
        longest_header: bytes that the JSON header may have where tensors are binary.

    Raises:
        WireError: it is not what the protocol says; in one line.
    """
    header, rest = split(body, length)
    if length is not None and len(header) > longest_header:
        raise WireError("the JSON header is too long", got=len(header), allowed=f"at most {longest_header} bytes")
    head = _parsed(Request, header, "request")
    return Sent(head, _arrays(head.inputs, rest))


def read_answer(body: bytes, length: str | None) -> tuple[Answer, dict[str, Array]]:
    """Read an answer.

    Raises:
        WireError: it is not what the protocol says.
    """
    header, rest = split(body, length)
    head = _parsed(Answer, header, "answer")
    return head, _arrays(head.outputs, rest)


def _parsed(model: type[PartT], header: bytes, what: str) -> PartT:
    try:
        return model.model_validate_json(header)
    except ValidationError as error:
        where, must, _ = explain(error, model)
        raise WireError(f"the {what} is no inference {what}: {shown(where) + ' ' if where else ''}{must}") from None


def _arrays(tensors: Sequence[Tensor], rest: memoryview) -> dict[str, Array]:
    """The tensors' values; every byte must be somebody's."""
    arrays: dict[str, Array] = {}
    for tensor in tensors:
        if tensor.name in arrays:
            raise WireError("two tensors have one name", got=repr(shown(tensor.name)))
        size = tensor.binary_size
        if size is not None and size > len(rest):
            raise WireError(f"tensor '{shown(tensor.name)}' says it has more bytes than there are", got=size)
        arrays[tensor.name] = _values(tensor, None if size is None else rest[:size])
        rest = rest[size or 0 :]
    if len(rest):
        raise WireError("there are bytes behind the last tensor", got=len(rest), allowed=0)
    return arrays


def _values(tensor: Tensor, data: memoryview | None) -> Array:
    name = shown(tensor.name)
    dtype = DATATYPES.get(tensor.datatype)
    if dtype is None:
        raise WireError(f"tensor '{name}' has an unknown datatype", got=shown(tensor.datatype), allowed=list(DATATYPES))
    if data is not None:
        if len(data) != tensor.elements * dtype.itemsize:
            raise WireError(
                f"tensor '{name}' has another number of bytes than its shape", got=len(data),
                allowed=tensor.elements * dtype.itemsize,
            )  # fmt: skip
        return np.frombuffer(data, dtype).reshape(tensor.shape)
    if tensor.data is None:
        raise WireError(f"tensor '{name}' has no values", todo="give data, or binary_data_size and the bytes")
    try:
        with np.errstate(over="ignore"):
            values = np.asarray(tensor.data, dtype)
    except (ValueError, TypeError, OverflowError):
        raise WireError(f"tensor '{name}' has values that are no numbers, or rows of different lengths") from None
    if values.size != tensor.elements:
        raise WireError(f"tensor '{name}' has another number of values than its shape", got=values.size)
    return values.reshape(tensor.shape)
