"""Turning to RAS, resampling and cropping keep every voxel at its place in the world."""

from __future__ import annotations

from itertools import permutations, product

import nibabel as nib
import numpy as np
import pytest
from numpy.typing import NDArray

from privaudit.cohorts.grids import Scan, cube_grid, fit, resample, shear, tilt, to_ras


def turned(order: tuple[int, ...], signs: tuple[int, ...]) -> NDArray[np.float64]:
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, list(order)] * np.array(signs) * 1.5
    affine[:3, 3] = (-20, 30, 7)
    return affine


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3)))
def test_ras_agrees_with_nibabel(order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).random((4, 5, 6), dtype=np.float32)
    affine = turned(order, signs)
    scan = to_ras(Scan(image, (image * 4).astype(np.uint8), affine))
    oracle = nib.as_closest_canonical(nib.Nifti1Image(image, affine))  # type: ignore[no-untyped-call]
    np.testing.assert_array_equal(scan.image, oracle.get_fdata(dtype=np.float32))
    np.testing.assert_array_equal(scan.labels, (scan.image * 4).astype(np.uint8))
    np.testing.assert_allclose(scan.affine, oracle.affine)
    assert np.all(np.diag(scan.affine)[:3] == 1.5)


def test_shear_and_tilt_in_degrees() -> None:
    angle = np.radians(10)
    rotated = np.eye(4)
    rotated[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    assert shear(rotated) == pytest.approx(0, abs=1e-5)
    assert tilt(rotated) == pytest.approx(10)
    skewed = np.eye(4)
    skewed[0, 1] = np.tan(angle)
    assert shear(skewed) == pytest.approx(10)
    assert tilt(turned((2, 0, 1), (1, -1, 1))) == 0


def centre_of_mass(scan: Scan, mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.asarray(scan.affine[:3, :3] @ np.argwhere(mask).mean(axis=0) + scan.affine[:3, 3])


def test_resampling_keeps_places_and_volumes() -> None:
    image = np.zeros((30, 40, 20), np.float32)
    image[8:20, 10:30, 5:14] = 1
    affine = np.diag([1.0, 0.8, 1.5, 1.0])
    affine[:3, 3] = (-5, 3, 9)
    scan = Scan(image, 2 * (image > 0).astype(np.uint8), affine)
    fine = resample(scan, 0.7)
    assert fine.image.shape == cube_grid((30, 40, 20), affine, 0.7)[0]
    np.testing.assert_allclose(centre_of_mass(fine, fine.labels > 0), centre_of_mass(scan, scan.labels > 0), atol=0.4)
    before, after = (scan.labels > 0).sum() * 1.0 * 0.8 * 1.5, (fine.labels > 0).sum() * 0.7**3
    assert after == pytest.approx(before, rel=0.1)  # up to half a voxel at each face
    assert set(np.unique(fine.labels)) == {0, 2}


def test_resampling_straightens_an_oblique_grid() -> None:
    angle = np.radians(20)
    affine = np.eye(4)
    affine[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    image = np.zeros((30, 30, 30), np.float32)
    image[10:18, 12:22, 9:15] = 1
    scan = Scan(image, image.astype(np.uint8), affine)
    straight = resample(scan, 1.0)
    assert tilt(straight.affine) == 0
    np.testing.assert_allclose(
        centre_of_mass(straight, straight.labels > 0), centre_of_mass(scan, scan.labels > 0), atol=0.3
    )


@pytest.mark.parametrize("shape", [(12, 16, 12), (40, 48, 32), (12, 48, 12)])
def test_fit_crops_and_pads_around_the_brain(shape: tuple[int, int, int]) -> None:
    image = np.zeros((30, 30, 20), np.float32)
    image[15:25, 2:14, 8:18] = np.random.default_rng(0).random((10, 12, 10)) + 1
    scan = Scan(image, (image > 0).astype(np.uint8), np.diag([2.0, 2, 2, 1]))
    fitted, cut = fit(scan, shape, image > 0)
    assert fitted.image.shape == shape
    assert cut == 0
    np.testing.assert_array_equal(fitted.image[fitted.image > 0], image[image > 0])
    np.testing.assert_allclose(centre_of_mass(fitted, fitted.image > 0), centre_of_mass(scan, image > 0))
    margins = [(np.flatnonzero(fitted.image.any(axis=other))[[0, -1]]) for other in ((1, 2), (0, 2), (0, 1))]
    assert all(abs(low - (n - 1 - high)) <= 1 for (low, high), n in zip(margins, shape, strict=True))


def test_fit_tells_what_it_cuts_off() -> None:
    image = np.ones((10, 10, 10), np.float32)
    _, cut = fit(Scan(image, image.astype(np.uint8), np.eye(4)), (10, 10, 5), image > 0)
    assert cut == 0.5
