"""Voxel grids: turning to RAS, resampling to cubes, cropping around the brain. Arrays in, arrays out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from privaudit.memory import require_memory

BYTES_PER_VOXEL: Final = 24
"""Of a scan while it is read: image and labels as stored, as float32, and resampled class by class."""
Affine = NDArray[np.float64]
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Scan:
    """An image and its label map on one grid.

    Attributes:
        image: ``[X, Y, Z]`` float32.
        labels: ``[X, Y, Z]`` uint8.
        affine: ``[4, 4]``, voxel to millimetres.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.uint8]
    affine: Affine


def voxel_sizes(affine: Affine) -> NDArray[np.float64]:
    """Length of each voxel axis in millimetres, ``[3]``."""
    return np.asarray(np.linalg.norm(affine[:3, :3], axis=0))


def shear(affine: Affine) -> float:
    """Return how far, in degrees, the voxel axes are from being at right angles."""
    axes = affine[:3, :3] / voxel_sizes(affine)
    return float(np.degrees(np.arcsin(np.abs(axes.T @ axes - np.eye(3)).max().clip(0, 1))))


def ras_axes(affine: Affine) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Return which voxel axis runs most along x, y and z, and whether each runs backwards."""
    import nibabel as nib

    orientation = np.asarray(nib.orientations.io_orientation(affine))  # type: ignore[no-untyped-call]
    order = tuple(int(np.flatnonzero(orientation[:, 0] == axis)[0]) for axis in range(3))
    return order, tuple(bool(orientation[axis, 1] < 0) for axis in order)


def tilt(affine: Affine) -> float:
    """Return the largest angle, in degrees, between a voxel axis and the world axis nearest to it."""
    cosines = np.abs(affine[:3, :3] / voxel_sizes(affine)).max(axis=0)
    return float(np.degrees(np.arccos(cosines.min().clip(0, 1))))


def to_ras(scan: Scan) -> Scan:
    """Permute and flip the axes so that they run right, anterior and superior; no voxel changes."""
    order, backwards = ras_axes(scan.affine)
    flips = tuple(slice(None, None, -1) if back else slice(None) for back in backwards)
    step = np.eye(4)
    step[:3, :3] = np.eye(3)[:, list(order)]
    for axis, (source, back) in enumerate(zip(order, backwards, strict=True)):
        if back:
            step[source, axis] = -1
            step[source, 3] = scan.image.shape[source] - 1
    return Scan(scan.image.transpose(order)[flips], scan.labels.transpose(order)[flips], scan.affine @ step)


def cube_grid(shape: Shape, affine: Affine, voxel_mm: float) -> tuple[Shape, Affine]:
    """Return shape and affine of the grid of ``voxel_mm`` cubes, along the world's axes, that covers a grid."""
    corners = np.array(np.meshgrid(*[[-0.5, n - 0.5] for n in shape], indexing="ij")).reshape(3, -1)
    world = affine[:3, :3] @ corners + affine[:3, 3:]
    low, high = world.min(axis=1), world.max(axis=1)
    x, y, z = (int(n) for n in np.maximum(1, np.rint((high - low) / voxel_mm)))
    cubes = np.diag([voxel_mm] * 3 + [1.0])
    cubes[:3, 3] = (low + high) / 2 - (np.array((x, y, z)) - 1) / 2 * voxel_mm
    return (x, y, z), cubes


def resample(scan: Scan, voxel_mm: float) -> Scan:
    """Resample a RAS scan to :func:`cube_grid`: image linearly, label by the class with the largest linear share.

    Where voxels get larger the image is smoothed before.

    Raises:
        DataError: the result cannot fit into memory.
    """
    x, y, z = scan.image.shape
    shape, cubes = cube_grid((x, y, z), scan.affine, voxel_mm)
    require_memory(
        math.prod(shape) * BYTES_PER_VOXEL, f"a scan of {(x, y, z)} voxels, resampled to {voxel_mm:g} mm,",
        "set a larger voxel_mm, or check the voxel size in its header",
    )  # fmt: skip
    pull = np.linalg.inv(scan.affine) @ cubes
    sigma = 0.35 * np.sqrt(np.clip((voxel_mm / voxel_sizes(scan.affine)) ** 2 - 1, 0, None))

    def linear(array: NDArray[np.float32]) -> NDArray[np.float32]:
        smooth = ndimage.gaussian_filter(array, sigma)
        return np.asarray(
            ndimage.affine_transform(smooth, pull[:3, :3], pull[:3, 3], shape, np.float32, order=1, prefilter=False)
        )

    labels, best = np.zeros(shape, np.uint8), np.full(shape, -1, np.float32)
    for value in np.unique(scan.labels):
        share = linear((scan.labels == value).astype(np.float32))
        better = share > best
        labels[better], best[better] = value, share[better]
    return Scan(linear(scan.image), labels, cubes)


def fit(scan: Scan, shape: Shape, brain: NDArray[np.bool_]) -> tuple[Scan, float]:
    """Crop or pad with zeros to ``shape``, around the middle of the brain's bounding box.

    Args:
        scan: a RAS scan.
        shape: the result's.
        brain: which voxels count as brain; at least one.

    Returns:
        The scan, and the share of the brain that the box cuts off.
    """
    places = [np.flatnonzero(brain.any(axis=tuple(other for other in range(3) if other != axis))) for axis in range(3)]
    start = [int(p[0] + p[-1] + 1 - n) // 2 for p, n in zip(places, shape, strict=True)]
    source = tuple(slice(max(0, s), max(0, s + n)) for s, n in zip(start, shape, strict=True))
    target = tuple(
        slice(max(0, -s), max(0, -s) + len(range(*cut.indices(size))))
        for s, cut, size in zip(start, source, brain.shape, strict=True)
    )

    image, labels = np.zeros(shape, np.float32), np.zeros(shape, np.uint8)
    image[target], labels[target] = scan.image[source], scan.labels[source]
    affine = scan.affine.copy()
    affine[:3, 3] += affine[:3, :3] @ start
    return replace(scan, image=image, labels=labels, affine=affine), 1 - float(brain[source].sum() / brain.sum())
