"""Triton's own client talks to our server; and our client to a server that is not ours, with ONNX Runtime behind it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="needs the extra 'serve'")
pytest.importorskip("tritonclient.http", reason="needs tritonclient[http]")

import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.serving.stub import StubEngine, served

PATCHES = np.random.default_rng(0).random((11, 1, 4, 4, 4), dtype=np.float32)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with served() as port:
        yield port


def test_tritons_client_asks_and_is_answered(port: int) -> None:
    client = triton.InferenceServerClient(f"127.0.0.1:{port}")
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("segmentation")
    assert client.is_model_ready("segmentation", "1")
    assert not client.is_model_ready("other")
    assert "binary_tensor_data" in client.get_server_metadata()["extensions"]
    told = client.get_model_metadata("segmentation")
    assert [(item["name"], item["datatype"]) for item in told["inputs"]] == [("patches", "FP32")]
    truth = StubEngine().maps(PATCHES[:, 0])
    for there in (True, False):
        given = triton.InferInput("patches", list(PATCHES.shape), "FP32")
        given.set_data_from_numpy(PATCHES, binary_data=there)
        for back in (True, False):
            wanted = [triton.InferRequestedOutput("maps", binary_data=back)]
            answer = client.infer("segmentation", [given], outputs=wanted, request_id="7")
            np.testing.assert_array_equal(answer.as_numpy("maps"), truth)
            assert answer.get_response()["id"] == "7"
    # Without a word about outputs, Triton's client asks for all in binary.
    np.testing.assert_array_equal(client.infer("segmentation", [given]).as_numpy("maps"), truth)
    with pytest.raises(InferenceServerException, match="has no values"):
        client.infer("segmentation", [triton.InferInput("patches", [1, 1, 4, 4, 4], "FP32")])
    client.close()
