"""The framing of messages: what is written is read again, and whatever else comes is refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privaudit.wire.messages import DATATYPES, WireError, read_answer, read_request
from privaudit.wire.writing import write_answer, write_request
from tests.wire.counting import CASES, TALLY

shapes = st.lists(st.integers(0, 4), min_size=0, max_size=5)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=8,
)  # fmt: skip


@settings(max_examples=40)
@given(shape=shapes, word=st.sampled_from(sorted(DATATYPES)), name=st.text(max_size=20))
def test_what_is_written_is_read_again(shape: list[int], word: str, name: str) -> None:
    array = np.arange(np.prod(shape, dtype=int), dtype=DATATYPES[word]).reshape(shape)
    body, header = write_request(name, {"a": array, "b": array}, ["c"])
    sent = read_request(body, str(header))
    assert sent.head.id == name
    for read in sent.arrays.values():
        assert read.dtype == array.dtype
        np.testing.assert_array_equal(read, array)
    for plain in ([], ["c"]):
        answer, length = write_answer("m", "1", name, {"c": array}, plain)
        np.testing.assert_array_equal(read_answer(answer, None if length is None else str(length))[1]["c"], array)


def refusal(read: Callable[[bytes, str | None], object], body: bytes, length: str | None) -> str:
    """What is said against a message; nothing else may happen, whatever comes."""
    try:
        read(body, length)
    except WireError as error:
        return str(error)
    return ""


def refused_or_read(kind: str, body: bytes, length: str | None) -> None:
    for read in (read_request, read_answer):
        with TALLY.case(f"read without a server: {kind}") as case:
            said = refusal(read, body, length)
            case.outcome = "refused in one line" if said else "read"
            assert "\n" not in said
            assert len(said) < 400


@settings(max_examples=CASES)
@given(body=st.binary(max_size=200), length=st.none() | st.text(max_size=6) | st.integers(-5, 300).map(str))
def test_noise_is_refused(body: bytes, length: str | None) -> None:
    refused_or_read("random bytes", body, length)


@settings(max_examples=CASES)
@given(data=st.data())
def test_a_message_with_something_wrong_is_refused(data: st.DataObject) -> None:
    body, header = write_request("x", {"patches": np.ones((2, 1, 2, 2, 2), "<f4")}, ["maps"])
    head = json.loads(body[:header])
    place = data.draw(st.sampled_from(["", "inputs", "outputs", "tensor", "parameters"]))
    spot = {
        "": head, "inputs": head, "outputs": head, "tensor": head["inputs"][0],
        "parameters": head["inputs"][0]["parameters"],
    }[place]  # fmt: skip
    key = place if place in ("inputs", "outputs") else data.draw(st.sampled_from(sorted(spot)) | st.text(max_size=6))
    spot[key] = data.draw(values)
    text = json.dumps(head).encode()
    tail = body[header:][: data.draw(st.integers(0, 64))] + data.draw(st.binary(max_size=4))
    refused_or_read("something wrong in the header", text + tail, str(len(text) + data.draw(st.integers(-2, 2))))


def test_header_and_tensor_are_divided_where_the_header_says() -> None:
    """The layout that Triton documents: JSON, then the tensors' bytes, little-endian, in their order."""
    array = np.array([[1.5, -2.0]], "<f4")
    body, header = write_request("x", {"a": array}, [])
    assert body[header:] == bytes.fromhex("0000c03f" + "000000c0")
    assert json.loads(body[:header])["inputs"][0]["parameters"] == {"binary_data_size": 8}


def test_two_tensors_of_one_name_are_refused() -> None:
    tensor = {"name": "a", "shape": [1], "datatype": "FP32", "data": [1.0]}
    with pytest.raises(WireError, match="two tensors have one name"):
        read_request(json.dumps({"inputs": [tensor, tensor]}).encode(), None)
