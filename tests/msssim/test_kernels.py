"""The compiled loops say what the same Python says, and split the work without changing it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from privaudit.msssim import PROFILES, Profile, kernels, ms_ssim

SHAPE, WINDOW = (6, 7, 8), 3


def arguments() -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    rng = np.random.default_rng(0)
    a, b = rng.random((2, *SHAPE), dtype=np.float32)
    return a, b, kernels.gaussian_taps(WINDOW, 1.5, torch.float32)


def python(function: Any) -> Any:
    """The function as written, before compilation."""
    return function.py_func


def test_compiled_moments_and_similarity_are_those_of_the_python_source(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, taps = arguments()
    count, half_c2, c1 = (0,) * WINDOW, np.float32(4.5e-4), np.float32(1e-4)
    small = kernels.valid_shape(SHAPE, WINDOW)
    results = []
    for plain in (False, True):
        if plain:
            for name in ("smooth_plane", "rotate", "add_up", "covariance", "slab_moments", "slab_similarity"):
                monkeypatch.setattr(kernels, name, python(getattr(kernels, name)))
        moments = np.zeros((4, *small), np.float32)
        for image, (mean, spread) in ((a, moments[:2]), (b, moments[2:])):
            kernels.slab_moments(image, taps, count, half_c2, mean, spread, 0, small[0])
        parts = [
            kernels.slab_similarity(a, b, *moments, taps, count, c1, half_c2, last, *part)  # type: ignore[call-arg]
            for last in (False, True)
            for part in ((0, small[0]), (0, 2), (2, small[0]))
        ]
        results.append((moments, parts))
    (compiled, fast), (interpreted, slow) = results
    np.testing.assert_allclose(compiled, interpreted, rtol=1e-5)
    np.testing.assert_allclose(fast, slow, rtol=1e-4)
    np.testing.assert_allclose(fast[0], fast[1] + fast[2], rtol=1e-6)


@pytest.mark.parametrize("planes", [1, 24, 25, 92, 136, 500])
def test_slabs_cover_the_planes_once(planes: int) -> None:
    covered = [plane for start, stop in kernels.slabs(planes) for plane in range(start, stop)]
    assert covered == list(range(planes))


def test_the_number_of_threads_changes_no_bit() -> None:
    x, y = torch.rand(2, 1, 60, 40, 41)
    profile = Profile("test", 2, 7)
    threads = torch.get_num_threads()
    try:
        values = []
        for number in (1, 3):
            torch.set_num_threads(number)
            values.append(float(ms_ssim(x, y, profile)))
    finally:
        torch.set_num_threads(threads)
    assert values[0] == values[1]


def test_an_image_is_exactly_like_itself() -> None:
    x = torch.rand(2, 40, 41, 42)
    assert ms_ssim(x, x, PROFILES["patch32"]).tolist() == [1.0, 1.0]
