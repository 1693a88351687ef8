"""The network on ciphertexts gives what it gives in plaintext, and the server's side cannot decrypt."""

import numpy as np
import pytest
import torch

from benchmarks.ckks_bench import Measured, tables
from benchmarks.ckks_network import Costs, SmallNet, encrypted, neighbours, plain


def a_network() -> tuple[SmallNet, np.ndarray]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return SmallNet(4).eval(), np.random.default_rng(0).random((8, 9, 10))


def test_neighbours_times_weights_are_the_convolution() -> None:
    network, patch = a_network()
    weight, bias = network.first.weight.detach().double().reshape(8, 27), network.first.bias
    assert bias is not None
    with torch.inference_mode():
        expected = network.double().first(torch.from_numpy(patch)[None, None])[0].flatten(1).numpy()
    found = weight.numpy() @ neighbours(patch) + bias.detach().double().numpy()[:, None]
    assert found == pytest.approx(expected, abs=1e-12)


def test_ciphertexts_give_what_plaintext_gives() -> None:
    pytest.importorskip("tenseal", reason="TenSEAL is not installed: pip install 'privaudit[he]'")
    network, patch = a_network()
    found, costs = encrypted(network, patch)
    expected = plain(network, patch.astype(np.float32)).flatten(1).numpy()
    assert np.abs(found - expected).max() < 1e-3 < 0.1 < np.abs(expected).max()
    assert costs.up > 27 * 100_000
    assert costs.down > 4 * 10_000
    assert costs.client > 0 < costs.server


def test_the_tables_multiply_a_patch_by_the_patches_of_a_volume() -> None:
    costs = Costs(client=2.0, server=4.0, up=90_000_000, down=4_000_000, keys=1_000_000)
    text = tables(Measured(0.7, 0.7, 1e-5, 1.0, costs, 0.001, [0.6]), 150, [("mixup, K = 1", 0.5, 20.0)])
    assert "| CKKS, extrapolated from one patch to 150 | 300 s, decrypting included | 13500 MB |" in text
    assert "15 minutes a volume" in text
