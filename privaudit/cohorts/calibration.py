"""Compare virtual people with real ones: ``python -m privaudit.cohorts.calibration --root FOLDER``.

Prints, side by side, the tissue volumes and how alike people are, and sessions of one person, of a BIDS cohort with
one session each and of the phantom on the same grid. The phantom's amounts were set by this table.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from privaudit.cohorts.fields import generator
from privaudit.contracts.cohort import Cohort, ScanId

Pair = tuple[ScanId, ScanId]
Image = NDArray[np.float32]


def tissue_volumes(cohort: Cohort) -> NDArray[np.float64]:
    """Return, for each person's first scan, the volume of labels 1, 2 and 3 and of all together, ``[N, 4]`` ml."""
    rows = []
    for subject in cohort.subjects:
        labels = cohort.load(cohort.sessions_of(subject)[0]).labels
        rows.append([float((labels == label).sum()) for label in (1, 2, 3)])
    millilitres = np.array(rows) * cohort.voxel_mm**3 / 1000
    return np.column_stack([millilitres, millilitres.sum(axis=1)])


def class_intensities(cohort: Cohort) -> NDArray[np.float64]:
    """Return, for each person's first scan, the mean intensity and the deviation in labels 1, 2 and 3, ``[N, 6]``."""
    rows = []
    for subject in cohort.subjects:
        volume = cohort.load(cohort.sessions_of(subject)[0])
        voxels = [volume.image[volume.labels == label] for label in (1, 2, 3)]
        rows.append([float(v.mean()) for v in voxels] + [float(v.std()) for v in voxels])
    return np.array(rows)


def pairs_of(cohort: Cohort, number: int) -> tuple[list[Pair], list[Pair]]:
    """Return up to ``number`` pairs of different people, and of two sessions of one person."""
    first = [cohort.sessions_of(subject) for subject in cohort.subjects]
    between = [(a[0], b[0]) for a, b in combinations(first, 2)]
    chosen = generator("calibration").permutation(len(between))[:number]
    return [between[i] for i in chosen], [(s[0], s[1]) for s in first[:number] if len(s) > 1]


def similarity(pairs: Iterable[tuple[Image, Image]]) -> NDArray[np.float64]:
    """Return the MS-SSIM of each pair of images ``[X, Y, Z]``."""
    import torch

    from privaudit.msssim import ms_ssim, profile_for

    def one(a: Image, b: Image) -> float:
        return float(ms_ssim(torch.from_numpy(a)[None], torch.from_numpy(b)[None], profile_for(a.shape)))

    return np.array([one(*pair) for pair in pairs])


def loaded(cohort: Cohort, pairs: Iterable[Pair]) -> Iterator[tuple[Image, Image]]:
    """Yield the images of each pair, one pair at a time."""
    for a, b in pairs:
        yield cohort.load(a).image, cohort.load(b).image


def deep_texture(cohort: Cohort, pairs: Iterable[Pair]) -> NDArray[np.float64]:
    """Return, for each pair, how alike the finest structure of the white matter is: a correlation.

    Compared are voxels that lie at least 4.5 mm deep in the white matter of both, less a Gaussian of 0.7 voxels. It is
    mostly noise, of which two scans of one person share nothing: a copy gives itself away here.
    """
    depth = max(1, round(4.5 / cohort.voxel_mm))

    def one(scan: ScanId) -> tuple[NDArray[np.bool_], Image]:
        volume = cohort.load(scan)
        fine = volume.image - ndimage.gaussian_filter(volume.image, 0.7)
        return ndimage.binary_erosion(volume.labels == 3, iterations=depth), fine

    out = []
    for a, b in pairs:
        (deep, fine), (also_deep, also_fine) = one(a), one(b)
        both = deep & also_deep
        out.append(np.corrcoef(fine[both], also_fine[both])[0, 1])
    return np.array(out)


def against_mean(cohort: Cohort) -> Iterator[tuple[Image, Image]]:
    """Yield each person's first image with the mean of all others' first images."""
    first = [cohort.sessions_of(subject)[0] for subject in cohort.subjects]
    total = np.zeros(cohort.shape, np.float64)
    for scan in first:
        total += cohort.load(scan).image
    for scan in first:
        image = cohort.load(scan).image
        yield image, ((total - image) / (len(first) - 1)).astype(np.float32)


def table(real: Cohort, phantom: Cohort, pairs: int) -> list[tuple[str, str, str]]:
    """Return rows of (quantity, real, phantom): mean and standard deviation over people or pairs."""
    columns: list[list[str]] = []
    for cohort in (real, phantom):
        volumes, intensities = tissue_volumes(cohort), class_intensities(cohort)
        shares = 100 * volumes[:, :3] / volumes[:, 3:]
        between, within = pairs_of(cohort, pairs)
        columns.append(
            [
                *(_text(column, 0) for column in volumes.T),
                *(_text(column, 1) for column in shares.T),
                *(_text(column, 3) for column in intensities.T),
                *(_text(similarity(loaded(cohort, chosen)), 3) for chosen in (between, within)),
                _text(similarity(against_mean(cohort)), 3),
                *(_text(deep_texture(cohort, chosen), 3) for chosen in (between, within)),
            ]
        )
    names = [f"{name} volume, ml" for name in ("CSF", "GM", "WM", "brain")]
    names += [f"{name} share, %" for name in ("CSF", "GM", "WM")]
    names += [f"{name} intensity" for name in ("CSF", "GM", "WM")]
    names += [f"{name} intensity, deviation inside" for name in ("CSF", "GM", "WM")]
    names += ["MS-SSIM between people", "MS-SSIM between sessions", "MS-SSIM to the mean of the others"]
    names += ["deep white matter, r: people", "deep white matter, r: sessions"]
    return list(zip(names, *columns, strict=True))


def _text(values: NDArray[np.float64], digits: int) -> str:
    return f"{values.mean():.{digits}f} ± {values.std(ddof=1):.{digits}f}"


def main() -> None:
    """Print the table."""
    from privaudit.cohorts.bids import BidsDataset
    from privaudit.cohorts.phantom import PhantomDataset

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="BIDS folder of 1.5 mm scans, one session each")
    parser.add_argument("--intensity", default="1500", help="how its intensities are scaled")
    parser.add_argument("--subjects", type=int, default=48)
    parser.add_argument("--pairs", type=int, default=60)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=None, help="default: a temporary folder")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cache = asked.cache or Path(folder)
        options = {"root": asked.root, "intensity": asked.intensity, "subjects": asked.subjects, "rescans": 2}
        real = BidsDataset.from_values(**options).open(cache=cache)
        grid = {"subjects": asked.subjects, "sessions": 2, "voxel_mm": real.voxel_mm}
        phantom = PhantomDataset.from_values(**grid).open(cache=cache)
        phantom.prepare(phantom.scans, asked.jobs, quiet=False)
        rows = table(real, phantom, asked.pairs)
    width = max(len(name) for name, _, _ in rows)
    print(f"{'':{width}}  {'real':>15}  {'phantom':>15}")
    for name, one, other in rows:
        print(f"{name:{width}}  {one:>15}  {other:>15}")


if __name__ == "__main__":
    main()
