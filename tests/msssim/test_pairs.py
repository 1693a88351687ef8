"""The values of ms_ssim: against pytorch-msssim where it runs, against SciPy in float64 where it does not."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import correlate1d
from torch import Tensor

from privaudit.errors import OptionError, PrivauditError
from privaudit.msssim import PROFILES, Profile, ms_ssim, reference_ms_ssim


def pair(shape: tuple[int, ...], kind: str) -> tuple[Tensor, Tensor]:
    """Two batches of one 3-D shape, alike but not equal."""
    generator = torch.Generator().manual_seed(len(kind))
    x = torch.rand(shape, generator=generator)
    if kind == "smooth":
        coarse = torch.rand(shape[0], 1, 5, 6, 4, generator=generator)
        x = torch.nn.functional.interpolate(coarse, size=shape[1:], mode="trilinear")[:, 0]
    y = (x + 0.1 * torch.randn(shape, generator=generator)).clamp(0, 1)
    if kind == "stripped":
        axes = torch.meshgrid(*(torch.linspace(-1.2, 1.2, side) for side in shape[1:]), indexing="ij")
        brain = torch.stack(axes).square().sum(0) < 1
        return x * brain, y * brain
    return x, y


@pytest.mark.parametrize("kind", ["random", "smooth", "stripped"])
@pytest.mark.parametrize(
    ("shape", "levels", "window"),
    [((80, 82, 84), 5, 5), ((81, 83, 85), 5, 5), ((40, 97, 98), 3, 7), ((31, 50, 49), 4, 3), ((40, 70, 65), 2, 5)],
)
def test_agrees_with_pytorch_msssim(kind: str, shape: tuple[int, int, int], levels: int, window: int) -> None:
    x, y = pair((2, *shape), kind)
    profile = Profile("test", levels, window)
    torch.testing.assert_close(ms_ssim(x, y, profile), reference_ms_ssim(x, y, profile), atol=1e-5, rtol=0)


def test_agrees_with_pytorch_msssim_on_a_long_axis_and_other_constants() -> None:
    x, y = pair((1, 30, 35, 140), "random")
    profile = Profile("test", 2, 3, sigma=0.8, k1=0.02, k2=0.05, data_range=2.0)
    torch.testing.assert_close(
        ms_ssim(2 * x, 2 * y, profile), reference_ms_ssim(2 * x, 2 * y, profile), atol=1e-5, rtol=0
    )


@pytest.mark.parametrize("name", ["patch32", "patch64"])
@pytest.mark.parametrize("kind", ["random", "smooth", "stripped"])
def test_agrees_with_scipy_where_pytorch_msssim_cannot_run(name: str, kind: str) -> None:
    profile = PROFILES[name]
    x, y = pair((3, 63, 57, 60) if name == "patch64" else (3, 33, 32, 28), kind)
    ours = ms_ssim(x[:, None], y[:, None], profile).numpy()
    slow = [scipy_ms_ssim(a.double().numpy(), b.double().numpy(), profile) for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(ours, slow, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("high", "low"), [(0.9, 0.45), (0.9, 0.0), (1.0, 0.3), (0.0, 0.0)])
def test_constant_images_have_only_their_luminance(high: float, low: float) -> None:
    profile = Profile("test", 5, 5)
    x = torch.full((1, 80, 80, 80), high)
    y = torch.full_like(x, low)
    luminance = (2 * high * low + profile.c1) / (high**2 + low**2 + profile.c1)
    expected = luminance ** profile.weights[-1]
    assert float(ms_ssim(x, y, profile)) == pytest.approx(expected, abs=3e-5)
    # Local variances are nothing but round-off here, up to 1e-7 against C2 = 9e-4, and the library has its own.
    assert float(ms_ssim(x, y, profile)) == pytest.approx(float(reference_ms_ssim(x, y, profile)), abs=3e-4)
    x, y = x.double(), y.double()
    assert float(ms_ssim(x, y, profile)) == pytest.approx(float(reference_ms_ssim(x, y, profile)), abs=1e-9)


def test_symmetric_one_for_itself_and_independent_of_the_batch() -> None:
    profile = PROFILES["patch32"]
    x, y = pair((40, 32, 32, 32), "random")
    value = ms_ssim(x, y, profile)
    torch.testing.assert_close(value, ms_ssim(y, x, profile), atol=1e-6, rtol=0)
    torch.testing.assert_close(value[37:38], ms_ssim(x[37:38], y[37:38], profile), atol=1e-6, rtol=0)
    assert ms_ssim(x, x, profile).numpy() == pytest.approx(1, abs=1e-6)
    assert (value < 1).all()


def test_opposite_contrast_scores_zero() -> None:
    x, _ = pair((1, 28, 28, 28), "random")
    assert float(ms_ssim(x, 1 - x, PROFILES["patch32"])) == 0


def test_dtype_gradient_and_empty_batch() -> None:
    profile = PROFILES["patch32"]
    x, y = pair((1, 28, 28, 28), "random")
    assert ms_ssim(x.double(), y.double(), profile).dtype == torch.float64
    assert not ms_ssim(x.requires_grad_(), y, profile).requires_grad
    assert ms_ssim(x[:0], y[:0], profile).shape == (0,)


@pytest.mark.parametrize(
    ("x", "y", "words"),
    [
        (torch.zeros(1, 28, 28, 28), torch.zeros(2, 28, 28, 28), "one shape"),
        (torch.zeros(1, 28, 28, 28), torch.zeros(1, 28, 28, 28, dtype=torch.float64), "float64"),
        (torch.zeros(1, 28, 28, 28, dtype=torch.int32),) * 2 + ("floating-point",),
        (torch.zeros(28, 28, 28),) * 2 + ("batches",),
        (torch.zeros(1, 2, 28, 28, 28),) * 2 + ("batches",),
        (torch.zeros(1, 28, 27, 28),) * 2 + ("at least 28",),
    ],
)
def test_wrong_tensors(x: Tensor, y: Tensor, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        ms_ssim(x, y, PROFILES["patch32"])


def test_reference_says_where_it_cannot_run() -> None:
    x = torch.zeros(1, 64, 64, 64)
    with pytest.raises(OptionError, match=r"second and third sides above 96 voxels.*privaudit\.msssim\.ms_ssim"):
        reference_ms_ssim(x, x, PROFILES["patch64"])


def test_reference_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_msssim", None)
    x = torch.zeros(1, 40, 40, 40)
    with pytest.raises(PrivauditError, match=r"pip install 'privaudit\[reference\]'"):
        reference_ms_ssim(x, x, Profile("test", 2, 3))


def scipy_ms_ssim(x: NDArray[np.float64], y: NDArray[np.float64], profile: Profile) -> float:
    """MS-SSIM written down from the paper, one pair at a time."""
    offsets = np.arange(profile.window) - profile.window // 2
    taps = np.exp(-(offsets**2) / (2 * profile.sigma**2))
    taps /= taps.sum()
    inside = (slice(profile.window // 2, -(profile.window // 2)),) * 3

    def smooth(volume: NDArray[np.float64]) -> NDArray[np.float64]:
        for axis in range(3):
            volume = correlate1d(volume, taps, axis=axis)
        return volume[inside]

    value = 1.0
    for level, weight in enumerate(profile.weights):
        if level:
            x, y = scipy_halve(x), scipy_halve(y)
        mean_x, mean_y = smooth(x), smooth(y)
        var_x, var_y = smooth(x * x) - mean_x**2, smooth(y * y) - mean_y**2
        term = (2 * (smooth(x * y) - mean_x * mean_y) + profile.c2) / (var_x + var_y + profile.c2)
        if level == profile.levels - 1:
            term *= (2 * mean_x * mean_y + profile.c1) / (mean_x**2 + mean_y**2 + profile.c1)
        value *= max(0.0, float(term.mean())) ** weight
    return value


def scipy_halve(volume: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means of 2x2x2 voxels, with a zero before each odd side."""
    padded = np.pad(volume, [(side % 2, 0) for side in volume.shape])
    x, y, z = (side // 2 for side in padded.shape)
    halved: NDArray[np.float64] = padded.reshape(x, 2, y, 2, z, 2).mean(axis=(1, 3, 5))
    return halved
