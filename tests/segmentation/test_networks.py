"""The networks' shapes, where they start from, and what α does."""

from __future__ import annotations

import pytest
import torch

from privaudit.segmentation.losses import SystemLoss
from privaudit.segmentation.networks import NetworkConfig, UnmixingNet, build
from privaudit.segmentation.sampling import Batch


def maps(n: int, seed: int) -> torch.Tensor:
    labels = torch.randint(0, 3, (n, 16, 16, 16), generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float()


def test_equal_seeds_give_equal_networks_and_leave_the_global_generator() -> None:
    config = NetworkConfig(size="tiny", classes=4, unmixing=True)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    one, two, three = build(config, 0), build(config, 0), build(config, 1)
    assert torch.equal(before, torch.random.get_rng_state())
    pairs = list(zip(one.parameters(), two.parameters(), three.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not all(torch.equal(a, c) for a, _, c in pairs)


def test_shapes() -> None:
    net = build(NetworkConfig(size="tiny", classes=3, unmixing=True), 0)
    mixed, unmixed = net(torch.rand(2, 1, 32, 32, 32), torch.rand(2, 3, 32, 32, 32), torch.tensor([0.2, 0.9]))
    assert mixed.shape == (2, 3, 32, 32, 32)
    assert unmixed is not None
    assert unmixed.shape == (2, 3, 32, 32, 32)
    plain = build(NetworkConfig(size="tiny", classes=3, unmixing=False), 0)
    assert plain(torch.rand(1, 1, 32, 32, 32), None, None)[1] is None


def test_the_unmixing_network_hears_alpha_and_the_reference() -> None:
    net = UnmixingNet("tiny", 3).eval()
    mixed = maps(1, 0)
    base = net(mixed, maps(1, 1), torch.tensor([0.5]))
    assert not torch.allclose(base, net(mixed, maps(1, 2), torch.tensor([0.5])))
    assert not torch.allclose(base, net(mixed, maps(1, 1), torch.tensor([0.7])))


def test_with_its_correction_off_the_unmixing_network_is_the_naive_one() -> None:
    net = UnmixingNet("tiny", 3).eval()
    torch.nn.init.zeros_(net.head.weight)
    assert net.head.bias is not None
    torch.nn.init.zeros_(net.head.bias)
    target, reference = maps(2, 3), maps(2, 4)
    alpha = torch.tensor([0.3, 0.8])
    mixed = torch.lerp(reference, target, alpha[:, None, None, None, None])
    assert torch.equal(net(mixed, reference, alpha).argmax(1), target.argmax(1))


def test_the_loss_falls_as_maps_get_right_and_counts_both_maps() -> None:
    target, reference = maps(1, 5), maps(1, 6)
    alpha = torch.tensor([0.5])
    mixed = torch.lerp(reference, target, 0.5)
    batch = Batch(
        torch.zeros(1, 3), torch.zeros(1).bool(), torch.rand(1, 1, 16, 16, 16), mixed, target, reference, alpha
    )
    loss = SystemLoss()
    good, bad = 20 * (target - 0.5), -20 * (target - 0.5)
    right = (mixed + 1e-6).log()
    assert float(loss(right, good, batch)) < float(loss(right, bad, batch))
    assert float(loss(right, good, batch)) < float(loss(bad, good, batch))
    assert float(SystemLoss(3.0)(right, bad, batch)) > float(loss(right, bad, batch))
    assert float(loss(right, None, batch)) == pytest.approx(float(loss(right, good, batch)), abs=0.05)
