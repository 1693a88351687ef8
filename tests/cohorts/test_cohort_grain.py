"""Noise of simulated rescans: measured, taken out, and drawn anew."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from privaudit.cohorts.fields import generator
from privaudit.cohorts.grain import Grain, without_grain
from privaudit.cohorts.sessions import SessionModel, rescan
from privaudit.contracts.cohort import Volume

Image = NDArray[np.float32]
SHAPE = (56, 60, 52)
STILL = SessionModel(degrees=0, shift_mm=0, warp_mm=0, bias=0, gamma=0, gain=0)
"""Sessions that differ by noise alone."""


def ball(grain: Grain | None = None, seed: int = 0) -> tuple[Image, NDArray[np.uint8]]:
    """White matter in grey matter in nothing, with noise; and the labels."""
    axes = np.meshgrid(*(np.linspace(-1.1, 1.1, n) for n in SHAPE), indexing="ij")
    distance = np.sqrt(sum(axis**2 for axis in axes))
    labels = np.select([distance < 0.8, distance < 1], [3, 2], 0)
    image = np.array([0, 0, 0.44, 0.66], np.float32)[labels]
    if grain is not None:
        image = np.where(labels > 0, image + grain.draw(np.random.default_rng(seed), SHAPE), 0)
    return image.astype(np.float32), labels.astype(np.uint8)


def fine(image: Image) -> Image:
    return np.asarray(image - ndimage.gaussian_filter(image, 0.7))


GRAINS = [Grain(0.015, (0.1, 0.1, 0.1)), Grain(0.015, (0.6, 0.6, 1.0)), Grain(0.03, (0.5, 0.8, 0.5))]


@pytest.mark.parametrize("grain", GRAINS)
def test_noise_of_known_kind_is_measured_and_taken_out(grain: Grain) -> None:
    image, labels = ball(grain)
    smooth, found = without_grain(image, 1.5)
    assert found.level == pytest.approx(grain.level, rel=0.2)
    assert found.blur == pytest.approx(grain.blur, abs=0.25)
    clean, deep = ball()[0], ndimage.binary_erosion(labels == 3, iterations=3)
    assert (smooth - clean)[deep].std() < 0.35 * grain.level
    assert (smooth[labels == 0] == 0).all()
    if grain.level < 0.1 * (0.66 - 0.44):
        edge = ndimage.binary_dilation(labels == 3) & (labels == 2)
        assert abs((smooth - clean)[edge].mean()) < 0.01, "the border of the tissues stays where it is"


def test_noise_is_drawn_as_strong_and_as_smooth_as_asked() -> None:
    field = Grain(0.02, (0.6, 0.1, 1.0)).draw(np.random.default_rng(0), (64, 64, 64))
    assert field.std() == pytest.approx(0.02)
    near = [np.corrcoef(field.take(range(1, 64), a).ravel(), field.take(range(63), a).ravel())[0, 1] for a in range(3)]
    # Blurred white noise: exp(-1 / (4 s^2)) for wide Gaussians, less where the kernel is sampled coarsely.
    assert near == pytest.approx([0.46, 0, 0.78], abs=0.03)


@pytest.mark.parametrize("grain", GRAINS)
def test_a_rescan_has_as_much_noise_as_its_original_and_none_of_it(grain: Grain) -> None:
    image, labels = ball(grain)
    volume = Volume(image, labels, np.diag([1.5, 1.5, 1.5, 1]))
    one, two = (rescan(volume, generator("test", n), STILL).image for n in (1, 2))
    deep = ndimage.binary_erosion(labels == 3, iterations=3)
    for scan in (one, two):
        assert abs(np.corrcoef(fine(scan)[deep], fine(image)[deep])[0, 1]) < 0.1
        assert fine(scan)[deep].std() == pytest.approx(fine(image)[deep].std(), rel=0.15)
    assert abs(np.corrcoef(fine(one)[deep], fine(two)[deep])[0, 1]) < 0.05
    assert (one[image == 0] == 0).all()


def test_what_has_no_noise_gets_none() -> None:
    image, _ = ball()
    smooth, grain = without_grain(image, 1.5)
    assert grain.level == 0
    np.testing.assert_allclose(smooth, image, atol=1e-6)
    nothing = np.zeros(SHAPE, np.float32)
    assert without_grain(nothing, 1.5)[1].level == 0
    tiny = np.zeros((9, 9, 9), np.float32)
    tiny[3:6, 3:6, 3:6] = 0.5
    assert np.isfinite(without_grain(tiny, 1.0)[0]).all()
