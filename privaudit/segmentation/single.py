"""Segmenting one image file through a defense, the way a client would."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from privaudit.cohorts.dicom_series import read_series
from privaudit.cohorts.grids import Scan, fit, resample, to_ras
from privaudit.cohorts.intensity import normalise
from privaudit.cohorts.volumes import read_image
from privaudit.contracts import plugin
from privaudit.contracts.cohort import Cohort, Dataset, Volume, mark
from privaudit.contracts.defense import Defense
from privaudit.contracts.keys import client_key
from privaudit.contracts.transcript import Transcript
from privaudit.devices import choose_device
from privaudit.errors import DataError, OptionError
from privaudit.files import atomic_path, check_place, refuse_same
from privaudit.imaging.patches import Shape, as_tensor
from privaudit.segmentation.dicom_seg import write_seg
from privaudit.segmentation.ledger import unspent
from privaudit.segmentation.sent import SentLedger
from privaudit.segmentation.server import Server
from privaudit.segmentation.system import Average, Client, Responder, Unmixing, views_of
from privaudit.segmentation.weights import Weights, WeightsConfig, misfit

Grid = tuple[tuple[int, ...], NDArray[np.float64]]


def segment_file(
    image: Path, output: Path, weights: Weights, dataset: Dataset | None, *, views: int | None = None,
    unmixing: Unmixing = "learned", variance: Path | None = None, ledger: Path | None = None,
    remote: Responder | None = None, sent_ledger: SentLedger | None = None,
    rng: random.Random | None = None, cache: Path | None = None, device: str = "auto",
    progress: Callable[[str, int], Callable[[float], None]] = lambda name, total: lambda n: None,
) -> None:  # fmt: skip
    """Write the label map of an image, on the image's own grid.

    Args:
        image: skull-stripped image, or the folder of a DICOM series; it is turned to RAS, resampled to the weights'
            voxel size and put around its brain.
        output: NIfTI file for the label map, uint8; of a DICOM series also a segmentation object (.dcm).
        weights: trained networks.
        dataset: whose labelled scans are mixed in, one of each person; a scan equal to the image is left out. None for
            a scheme that mixes nothing in: the box is then as large as the brain needs.
        views: encoded views K, None for the defense's number.
        unmixing: by equation 4 or by the network.
        variance: NIfTI file for the variance of the winning class over the views, float32, or None.
        ledger: where the references are noted that were mixed in: none is ever used again; None where they may be.
        remote: a server elsewhere; None for one in this process.
        sent_ledger: where it is noted how many views of the image were sent, before they are; None for nowhere.
        rng: where keys come from; None for the operating system. No other is taken.
        cache: folder of generated data.
        device: where the networks run.
        progress: makes a progress bar.

    Raises:
        PrivauditError: the image cannot be used, the weights do not fit, or a file that is read would be replaced;
            nothing is written then.
    """
    config = weights.config
    check_there(image)
    _check_names(variance, *(() if _is_seg(output, image) else (output,)))
    for path in (output, *(() if variance is None else (variance,))):
        refuse_same(path, image, ledger, None if sent_ledger is None else sent_ledger.path)
        check_place(path.parent)
    if variance is not None and variance.absolute() == output.absolute():
        raise OptionError("label map and variance are one file", got=output.name, todo="name two")
    if variance is not None and (views or 2) < 2:
        raise OptionError("a variance needs several views", got=views, allowed="--views 2 or more")
    values = {key: value for key, value in config.defense.items() if key != "name"}
    if views is not None and "views" in values:
        values["views"] = views
    elif views is not None and views != 1:
        raise OptionError(f"the defense '{config.defense['name']}' sends one view", got=views)
    if weights.networks.client is not None:
        values["weights"] = str(weights.folder)
    if ledger is not None:
        values["reference_reuse"] = "never"  # a scheme without this option says so
    defense = plugin.create("defenses", config.defense["name"], Defense, values)
    if unmixing == "learned" and defense.needs_pool and weights.networks.unmixing is None:
        raise OptionError(f"the weights '{weights.name}' hold no unmixing network", todo="use --unmixing naive")
    if dataset is None and defense.needs_pool:
        raise OptionError(f"'{defense.name}' mixes references in", todo="say whose: --dataset NAME, with its options")
    cohort = None if dataset is None else dataset.open(cache=cache)
    if cohort is not None and (reason := misfit(config, cohort, None)):
        raise OptionError(f"the weights '{weights.name}' do not fit the references: {reason}")
    voxels, affine = read_series(image) if image.is_dir() else read_image(image)
    volume, grid = conform(voxels, affine, cohort or config, image)
    shape: Shape = (volume.image.shape[0], volume.image.shape[1], volume.image.shape[2])
    if defense.spends_references and ledger is None:
        raise OptionError("this scheme mixes no reference in twice", todo="say where they are noted: --ledger FILE")
    if ledger is None:
        pool = list(_pool(cohort, volume, defense.views).values()) if cohort and defense.needs_pool else []
        key = client_key(defense, shape, pool, rng)
    else:
        if cohort is None:
            raise OptionError(f"'{defense.name}' mixes no reference in", todo="leave out --ledger")
        with unspent(ledger, cohort, _pool(cohort, volume, defense.views)) as (pool, spend):
            key = client_key(defense, shape, pool, rng)
            spend(defense.spent(key))
    encoded = defense.encode(as_tensor(volume.image), key, defense.views)
    sent = Transcript("segment", encoded.views, encoded.positions, shape, volume.affine)
    where = choose_device(device)
    client = Client(weights.networks.unmixing, where)
    server = remote or Server(weights.networks.segmentation, config.patch_size, where, steady=True)
    if sent_ledger is not None:
        sent_ledger.spend(mark(voxels), len(sent.views))
    average = Average(variance=variance is not None)
    advance = progress("segment", len(sent.views))
    method: Unmixing = unmixing if weights.networks.unmixing is not None else "naive"
    for view in views_of(server, client, defense, sent.views, key, config.network.classes):
        average.add(view.maps[method])
        advance(1)
    maps = average.mean()[0] if view.whole else defense.assemble(average.mean(), key)
    labels = _to_grid(maps.numpy(), volume.affine, grid)
    guess = labels.argmax(axis=0).astype(np.uint8)
    guess[labels.sum(axis=0) < 0.5] = 0  # outside the box that was segmented
    if _is_seg(output, image):
        write_seg(output, image, guess, config.labels)
    else:
        _write(output, guess, grid)
    if variance is not None:
        spread = average.variance()
        spread = spread[0] if view.whole else defense.assemble(spread, key)
        on_grid = _to_grid(spread.numpy(), volume.affine, grid)
        _write(variance, np.take_along_axis(on_grid, guess[None].astype(np.int64), axis=0)[0].astype(np.float32), grid)


def check_there(image: Path) -> None:
    """Refuse an image that is not there, before anything slow is done.

    Raises:
        DataError: it is not.
    """
    if not image.exists():
        raise DataError("there is no such image", got=image, allowed="a NIfTI or MGZ file, or the folder of a series")


def conform(
    voxels: NDArray[Any], affine: NDArray[np.float64], to: Cohort | WeightsConfig, path: Path
) -> tuple[Volume, Grid]:
    """Bring an image onto a cohort's grid, or into a box of its own for weights; also return the grid it came from.

    Raises:
        DataError: the cohort's box cuts off more than a twentieth of the brain.
    """
    empty = np.zeros(voxels.shape, np.uint8)
    scan = resample(to_ras(Scan(voxels.astype(np.float32), empty, affine)), to.voxel_mm)
    brain = scan.image > 0.02 * np.percentile(scan.image[scan.image > 0], 99)
    scan, lost = fit(scan, to.shape if isinstance(to, Cohort) else _own_box(brain, to.patch_size), brain)
    if lost > 0.05:
        raise DataError(
            f"{path} does not fit the box of the references", got=f"{lost:.0%} of it would be cut off",
            todo="skull-strip it: everything outside the brain must be 0",
        )  # fmt: skip
    image = normalise(scan.image, "p99.9")
    return Volume(np.ascontiguousarray(image), scan.labels, scan.affine), (voxels.shape, affine)


def _own_box(brain: NDArray[np.bool_], patch_size: int) -> Shape:
    """A box around a brain with room for a patch, sides in steps of 8 voxels."""
    x, y, z = (max(patch_size, -(-(int(np.ptp(where)) + 9) // 8) * 8) for where in np.nonzero(brain))
    return x, y, z


def _pool(cohort: Cohort, volume: Volume, views: int) -> dict[str, Volume]:
    """One scan of each person, by name, without the image itself (another copy of it may be among them).

    Raises:
        DataError: too few are left.
    """
    inside = volume.image > 0
    pool = {}
    for person in cohort.subjects:
        scan = cohort.load(cohort.sessions_of(person)[0])
        if float(np.corrcoef(scan.image[inside], volume.image[inside])[0, 1]) < 0.99:
            pool[person] = scan
    if len(pool) < min(2, views):
        raise DataError(
            "too few references to mix with", got=f"{len(pool)} people beside the image", allowed=f"{min(2, views)}",
            todo="give a --dataset with more people",
        )  # fmt: skip
    return pool


def _to_grid(maps: NDArray[np.float32], affine: NDArray[np.float64], grid: Grid) -> NDArray[np.float32]:
    """Resample maps [C, X, Y, Z] linearly onto another grid."""
    shape, target = grid
    pull = np.linalg.inv(affine) @ target
    return np.stack(
        [
            ndimage.affine_transform(m, pull[:3, :3], pull[:3, 3], shape, np.float32, order=1, prefilter=False)
            for m in maps
        ]
    )


def _is_seg(output: Path, image: Path) -> bool:
    """Whether the label map is to be a DICOM segmentation object, which lies on a series."""
    return output.suffix == ".dcm" and image.is_dir()


def _check_names(*paths: Path | None) -> None:
    for path in paths:
        if path is not None and not path.name.endswith((".nii", ".nii.gz")):
            raise OptionError("outputs are NIfTI files", got=path.name, allowed="names ending in .nii or .nii.gz")


def _write(path: Path, array: NDArray[Any], grid: Grid) -> None:
    import nibabel as nib

    image = nib.Nifti1Image(array, grid[1])  # type: ignore[no-untyped-call]
    with atomic_path(path) as temporary:
        nib.save(image, temporary)
