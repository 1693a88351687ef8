"""MS-SSIM within a mask: what lies outside does not count, and a full mask changes nothing."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from privaudit.msssim import PROFILES, Profile, ms_ssim

PATCH = PROFILES["patch32"]


def volumes(seed: int, shape: tuple[int, int, int] = (32, 32, 32), n: int = 3) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(seed)
    x = ndimage.gaussian_filter(rng.random((n, *shape)), (0, 2, 2, 2))
    x = (x - x.min()) / np.ptp(x)
    y = np.clip(x + 0.1 * rng.standard_normal(x.shape), 0, 1)
    return torch.from_numpy(x).float(), torch.from_numpy(y).float()


@pytest.mark.parametrize("shape", [(32, 32, 32), (40, 33, 47)])
def test_a_full_mask_gives_ms_ssim(shape: tuple[int, int, int]) -> None:
    x, y = volumes(0, shape)
    found = ms_ssim(x, y, PATCH, torch.ones_like(x))
    # An odd side is padded by a zero before it, in the mask too: there the two differ a little.
    exact = all(side % 4 == 0 for side in shape)
    assert found.tolist() == pytest.approx(ms_ssim(x, y, PATCH).tolist(), abs=1e-5 if exact else 2e-2)


Volume = np.ndarray[Any, np.dtype[np.float64]]


def halved(volume: Volume) -> Volume:
    x, y, z = (side // 2 for side in volume.shape)
    return np.asarray(volume.reshape(x, 2, y, 2, z, 2).mean((1, 3, 5)))


def by_hand(x: Volume, y: Volume, mask: Volume, profile: Profile) -> float:
    """Wang et al.'s terms from scipy's filters, averaged over the mask."""
    radius = profile.window // 2
    taps = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * profile.sigma**2))
    taps /= taps.sum()
    inner = (slice(radius, -radius),) * 3

    def smooth(volume: Volume) -> Volume:
        for axis in range(3):
            volume = ndimage.correlate1d(volume, taps, axis, mode="constant")
        return volume[inner]

    value = 1.0
    for level, weight in enumerate(profile.weights):
        if level:
            x, y, mask = (halved(volume) for volume in (x, y, mask))
        a, b = smooth(x), smooth(y)
        spread = smooth(x * x) - a * a + smooth(y * y) - b * b
        similar = (2 * (smooth(x * y) - a * b) + profile.c2) / (spread + profile.c2)
        if level == profile.levels - 1:
            similar = similar * (2 * a * b + profile.c1) / (a * a + b * b + profile.c1)
        share = mask[inner]
        value *= max(0.0, float((similar * share).sum() / share.sum())) ** weight
    return value


def test_it_is_the_mean_of_the_map_within_the_mask() -> None:
    x, y = volumes(1)
    mask = torch.zeros_like(x)
    mask[:, 4:24, 8:30, 6:26] = 1
    expected = [
        by_hand(x[i].double().numpy(), y[i].double().numpy(), mask[i].double().numpy(), PATCH) for i in range(len(x))
    ]
    assert ms_ssim(x, y, PATCH, mask).tolist() == pytest.approx(expected, abs=1e-5)


def test_air_that_is_equal_is_no_similarity() -> None:
    """The old measure set both images to 0 outside: then most of the map was 1."""
    x, y = volumes(2)
    mask = torch.zeros_like(x)
    mask[:, :16] = 1
    zeroed = ms_ssim(x * mask, y * mask, PATCH)
    inside = ms_ssim(x, y, PATCH, mask)
    assert bool((inside < zeroed - 0.05).all())


def test_what_lies_far_outside_changes_nothing() -> None:
    x, y = volumes(3)
    mask = torch.zeros_like(x)
    mask[:, :8] = 1
    other = y.clone()
    other[:, 28:] = 1 - other[:, 28:]
    fine = Profile("fine", 1, PATCH.window)
    torch.testing.assert_close(ms_ssim(x, y, fine, mask), ms_ssim(x, other, fine, mask))


def test_an_image_is_like_itself_and_an_empty_mask_says_nothing() -> None:
    x, _ = volumes(4)
    assert ms_ssim(x, x, PATCH, torch.ones_like(x)).tolist() == pytest.approx([1.0] * 3)
    assert bool(ms_ssim(x, x, PATCH, torch.zeros_like(x)).isnan().all())
    corner = torch.zeros_like(x)
    corner[:, :2, :2, :2] = 1  # no window is centred there, on any level
    assert bool(ms_ssim(x, x, PATCH, corner).isnan().all())
    corner[:, :8, :8, :8] = 1  # only on the finest
    assert ms_ssim(x, x, PATCH, corner).tolist() == pytest.approx([1.0] * 3)
