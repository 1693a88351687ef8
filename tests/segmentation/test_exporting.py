"""Exported networks give the maps that the network gives; and our client reads them from a server that is not ours."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from privaudit.client.connection import Address, Connection
from privaudit.client.remote import RemoteServer
from privaudit.errors import OptionError, PrivauditError
from privaudit.files import check_own
from privaudit.segmentation import exporting, server_net
from privaudit.segmentation.agreeing import VOLUMES, Agreement, agreement, probe_patches
from privaudit.segmentation.exporting import export
from privaudit.segmentation.server import Server
from privaudit.segmentation.weights import Weights, load_weights


@pytest.fixture(scope="module")
def weights() -> Weights:
    """Trained ones: the gate is about them, and networks with random weights round otherwise."""
    return load_weights(Path("phantom-none"))


@pytest.fixture(scope="module")
def model(weights: Weights, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("onnxruntime", reason="needs the extra 'export'")
    pytest.importorskip("onnx", reason="needs the extra 'export'")
    folder = tmp_path_factory.mktemp("onnx") / "models"
    found = export(weights, folder, "onnx")
    assert found.difference <= 1e-5
    assert found.dice == 0
    assert found.tied < 1e-3
    return folder


def files_of(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_a_bundle_of_monai_gives_the_servers_maps(weights: Weights, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    found = export(weights, folder, "monai-bundle")
    assert found.difference <= 1e-5
    assert found.dice == 0
    assert found.tied < 1e-3
    assert "privaudit" not in (folder / "configs" / "inference.json").read_text()
    metadata = json.loads((folder / "configs" / "metadata.json").read_text())
    assert metadata["network_data_format"]["outputs"]["pred"]["channel_def"]["3"] == "WM"
    check_own(folder, "export", lambda _: False)  # its own folder it may replace
    assert files_of(folder) < exporting.WRITTEN
    (folder / "maps").mkdir()
    (folder / "maps" / "a.npy").write_text("what the bundle has made")
    with pytest.raises(OptionError, match=r"no export has written.*got maps/a\.npy"):
        export(weights, folder, "monai-bundle")
    assert (folder / "maps" / "a.npy").read_text() == "what the bundle has made"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("x")
    with pytest.raises(OptionError):
        export(weights, tmp_path / "other", "monai-bundle")


def test_a_network_that_gives_other_maps_is_not_exported(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = exporting._run_bundle
    monkeypatch.setattr(exporting, "_run_bundle", lambda folder: lambda patches: run(folder)(patches) + 2e-5)
    with pytest.raises(PrivauditError, match="do not give the same maps"):
        export(weights, tmp_path / "bundle", "monai-bundle")
    assert not list(tmp_path.iterdir())


def test_a_server_that_rounds_more_stops_the_export(
    weights: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's own group norm adds up in one pass where the memory layout is the server's."""
    monkeypatch.setattr(server_net.ExactGroupNorm, "forward", torch.nn.GroupNorm.forward)
    with pytest.raises(PrivauditError, match="do not give the same maps"):
        export(weights, tmp_path / "bundle", "monai-bundle")
    assert not list(tmp_path.iterdir())


def test_bundle_onnx_runtime_and_server_agree_with_each_other(weights: Weights, model: Path, tmp_path: Path) -> None:
    export(weights, tmp_path / "bundle", "monai-bundle")
    patches = probe_patches(32)
    server = Server(weights.networks.segmentation, 32, torch.device("cpu"), steady=True)
    three = [
        exporting._run_bundle(tmp_path / "bundle")(patches.numpy()), exporting._run_onnx(model)(patches.numpy()),
        server.respond(patches[:, 0]).numpy(),
    ]  # fmt: skip
    found = agreement(three, patches[:, 0].numpy())
    assert found.difference <= 1e-5
    assert found.dice == 0


def test_agreement_sees_any_of_three_and_leaves_ties_out() -> None:
    images = np.linspace(0, 1, VOLUMES * 8, dtype=np.float32).reshape(VOLUMES, 2, 2, 2)
    clear = np.stack([1 - images, images], axis=1)
    assert agreement([clear, clear, clear], images) == Agreement(0.0, 0.0)
    for place in range(3):
        three = [clear.copy() for _ in range(3)]
        three[place][0, :, 0, 0, 0] = three[place][0, ::-1, 0, 0, 0]  # one voxel has the other label
        found = agreement(three, images)
        assert found.difference == pytest.approx(1.0)
        assert found.dice > 0
    tied = clear.copy()
    tied[0, :, 0, 0, 0] = 0.5
    turned = tied.copy()
    turned[0, 1, 0, 0, 0] += 1e-6
    found = agreement([tied, tied, turned], images)
    assert (found.dice, found.tied) == (0.0, 1 / (VOLUMES * 8))
    assert agreement([clear, clear, clear[:, :1]], images).difference == float("inf")


class Independent(BaseHTTPRequestHandler):
    """The smallest server of the protocol, with ONNX Runtime: it shares no line with ours."""

    protocol_version = "HTTP/1.1"
    session: Any

    def do_GET(self) -> None:
        tensors = {
            kind: [{"name": t.name, "datatype": "FP32", "shape": [-1, *t.shape[1:]]} for t in found]
            for kind, found in (("inputs", self.session.get_inputs()), ("outputs", self.session.get_outputs()))
        }
        self.give(json.dumps({"name": "segmentation", "platform": "onnx", **tensors}).encode(), {})

    def do_POST(self) -> None:
        length = int(self.headers["Inference-Header-Content-Length"])
        body = self.rfile.read(int(self.headers["Content-Length"]))
        head = json.loads(body[:length])
        count = (len(body) - length) // 4
        data = np.array(struct.unpack(f"<{count}f", body[length:]), np.float32)
        (maps,) = self.session.run(None, {"patches": data.reshape(head["inputs"][0]["shape"])})
        raw = struct.pack(f"<{maps.size}f", *maps.ravel().tolist())
        output = {"name": "maps", "datatype": "FP32", "shape": maps.shape, "parameters": {"binary_data_size": len(raw)}}
        text = json.dumps({"model_name": "segmentation", "id": head["id"], "outputs": [output]}).encode()
        self.give(text + raw, {"Inference-Header-Content-Length": str(len(text))})

    def give(self, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(200)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def independent(model: Path) -> Iterator[int]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    path = str(model / "segmentation" / "1" / "model.onnx")
    Independent.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    with HTTPServer(("127.0.0.1", 0), Independent) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_our_client_reads_onnx_runtime_behind_a_server_that_is_not_ours(weights: Weights, independent: int) -> None:
    patches = torch.rand((2, 32, 32, 32), generator=torch.Generator().manual_seed(1))
    truth = Server(weights.networks.segmentation, 32, torch.device("cpu")).respond(patches)
    with Connection(Address(f"http://127.0.0.1:{independent}")) as connection:
        remote = RemoteServer(connection, 32, 4)
        remote.check()
        np.testing.assert_allclose(remote.respond(patches), truth, atol=1e-5)


def test_the_model_folder_is_described_for_triton(model: Path) -> None:
    assert files_of(model) < exporting.WRITTEN
    text = (model / "segmentation" / "config.pbtxt").read_text()
    assert 'name: "patches", data_type: TYPE_FP32, dims: [ 1, 32, 32, 32 ]' in text
    assert 'name: "maps", data_type: TYPE_FP32, dims: [ 4, 32, 32, 32 ]' in text
