"""Segmenting by a server elsewhere gives what one process gives, to the last bit; and the ledger of what was sent."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="needs the extra 'serve'")

import torch

from privaudit.client.connection import Address, Connection
from privaudit.client.remote import RemoteServer
from privaudit.contracts.cohort import Cohort, Dataset, ScanId, Volume
from privaudit.errors import DataError, OptionError, PrivauditError
from privaudit.segmentation.networks import NetworkConfig, build
from privaudit.segmentation.sent import SentLedger
from privaudit.segmentation.single import segment_file
from privaudit.segmentation.weights import SEGMENTATION, Weights, load_weights, save_weights
from privaudit.serving.engine import EngineConfig, NetworkEngine
from tests.made import untrained
from tests.serving.stub import served

BALL = (np.indices((32, 32, 32)) - 15.5).__pow__(2).sum(axis=0) < 14**2


class Balls(Cohort):
    name, shape, voxel_mm = "balls", (32, 32, 32), 1.0
    scans = tuple(ScanId(f"s{number}") for number in range(3))
    fingerprint = "0" * 64

    def load(self, scan: ScanId) -> Volume:
        rng = np.random.default_rng(int(scan.subject[1:]))
        image = (BALL * rng.uniform(0.2, 1, BALL.shape)).astype(np.float32)
        return Volume(image, (image * 3.9).astype(np.uint8), np.eye(4))


class Fixed:
    """A dataset that is there already."""

    def open(self, **_: Any) -> Cohort:
        return Balls()


class Repeating(random.SystemRandom):
    """Passes for the operating system's generator, which clients insist on, and gives the same again."""

    def __init__(self) -> None:
        self._seeded = random.Random(1)

    def random(self) -> float:
        return self._seeded.random()

    def getrandbits(self, k: int) -> int:
        return self._seeded.getrandbits(k)


@pytest.fixture(scope="module")
def weights() -> Weights:
    network = NetworkConfig(size="tiny", classes=4, unmixing=True)
    config = untrained(network, {"name": "mixup", "views": 3})
    return Weights("w", Path("w"), config, build(network, seed=0).eval(), "0" * 12)


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    image = BALL * np.random.default_rng(9).uniform(0.2, 1, BALL.shape)
    nib.save(nib.Nifti1Image((800 * image).astype(np.int16), np.eye(4)), tmp_path / "scan.nii.gz")  # type: ignore[no-untyped-call]
    return tmp_path / "scan.nii.gz"


def read(path: Path) -> Any:
    return np.asarray(nib.load(path).dataobj)  # type: ignore[attr-defined]


def without_server(weights: Weights, folder: Path) -> Weights:
    """What a client has that was never given the server's network."""
    save_weights(folder, weights.config, weights.networks)
    (folder / SEGMENTATION).unlink()
    return load_weights(folder, server=False)


@pytest.mark.slow
def test_a_server_elsewhere_gives_the_same_bits(weights: Weights, scan: Path, tmp_path: Path) -> None:
    config = EngineConfig.model_validate(weights.config.model_dump())
    engine = NetworkEngine(weights.networks.segmentation, config, torch.device("cpu"))
    dataset: Dataset = Fixed()  # type: ignore[assignment]
    ledger = SentLedger(tmp_path / "sent.txt", most=4)
    with served(engine) as port, Connection(Address(f"http://127.0.0.1:{port}")) as connection:
        remote = RemoteServer(connection, 32, 4)
        remote.check()
        client = without_server(weights, tmp_path / "weights")
        for name, known, where in (
            ("here", weights, {}),
            ("there", client, {"remote": remote, "sent_ledger": ledger}),
        ):
            segment_file(
                scan, tmp_path / f"{name}.nii", known, dataset, variance=tmp_path / f"{name}-variance.nii",
                rng=Repeating(), device="cpu", **where,  # type: ignore[arg-type]
            )  # fmt: skip
        received = connection.received
        with pytest.raises(OptionError, match=r"sent 3 times, and 3 more views are too many; allowed: --max-views 4"):
            segment_file(scan, tmp_path / "no.nii", weights, dataset, device="cpu", remote=remote, sent_ledger=ledger)
        assert connection.received == received
    for kind in ("", "-variance"):
        np.testing.assert_array_equal(read(tmp_path / f"here{kind}.nii"), read(tmp_path / f"there{kind}.nii"))
    assert len(np.unique(read(tmp_path / "here-variance.nii"))) > 1000  # bits of the maps show in it
    assert not (tmp_path / "no.nii").exists()


def test_a_client_needs_no_segmentation_network(weights: Weights, scan: Path, tmp_path: Path) -> None:
    dataset: Dataset = Fixed()  # type: ignore[assignment]
    client = without_server(weights, tmp_path / "w")
    assert client.networks.unmixing is not None
    assert weights.networks.unmixing is not None
    for name, tensor in weights.networks.unmixing.state_dict().items():
        assert torch.equal(client.networks.unmixing.state_dict()[name], tensor)
    with pytest.raises(PrivauditError, match="cannot be read"):
        load_weights(tmp_path / "w")
    with pytest.raises(PrivauditError, match="is the server's, and was not read"):
        segment_file(scan, tmp_path / "out.nii", client, dataset, device="cpu")
    assert not (tmp_path / "out.nii").exists()
    # Where the file is there, its hash is still looked at.
    save_weights(tmp_path / "w", weights.config, weights.networks)
    load_weights(tmp_path / "w", server=False)
    (tmp_path / "w" / SEGMENTATION).write_bytes(b"damaged")
    with pytest.raises(PrivauditError, match="their hash differs"):
        load_weights(tmp_path / "w", server=False)


def test_an_image_that_is_not_there(weights: Weights, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no such image; got .*gone.nii.gz; allowed: a NIfTI"):
        segment_file(tmp_path / "gone.nii.gz", tmp_path / "out.nii", weights, None, device="cpu")


def test_the_ledger_counts_over_runs(tmp_path: Path) -> None:
    path = tmp_path / "new" / "sent.txt"
    SentLedger(path, most=10).spend("a" * 16, 10)
    SentLedger(path, most=10).spend("b" * 16, 3)
    SentLedger(path).spend("a" * 16, 1)
    for scan, views in (("a" * 16, 1), ("b" * 16, 8)):
        before = path.read_bytes()
        with pytest.raises(OptionError, match="too many"):
            SentLedger(path, most=10).spend(scan, views)
        assert path.read_bytes() == before
    path.write_text("a scan's name\n")
    with pytest.raises(DataError, match="no ledger"):
        SentLedger(path).spend("a" * 16, 1)
    with pytest.raises(OptionError):
        SentLedger(path, most=0)
