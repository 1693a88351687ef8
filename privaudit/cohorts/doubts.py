"""What looks wrong with files that can be read: one person under two names, whole heads with labels of the brain alone.

Nothing is refused: twins are alike too, and a head may be what is sent. It is told, so that nobody has to find out from
figures that make no sense.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from privaudit.cohorts.progress import run_jobs
from privaudit.cohorts.volumes import Reading, read_pair
from privaudit.contracts.cohort import ScanId
from privaudit.files import write_text

VERSION: Final = 1
BLOCK_MM: Final = 6.0
"""Brains are compared at this size: above the grain of a scan, below the folds that tell people apart."""
FAR_SDS: Final = 8.0
"""Two people are doubted when they are so many robust standard deviations more alike than people usually are."""
LEAST_ALIKE: Final = 0.7
"""And at least so much: correlation of what is left when the mean of everybody is taken away."""
FEWEST: Final = 5
"""People; with fewer nobody can say what is usual."""
BRIGHT: Final = 0.1
AWAY_MM: Final = 10.0
HEAD_SHARE: Final = 0.25
"""A whole head: so much of what is bright lies further than ``AWAY_MM`` from every label; a brain has hardly any."""
LABELLED_SHARE: Final = 0.15
"""Labels that cover less of what is bright, in the median scan, are of a part of the brain: no word about heads."""


@dataclass(frozen=True)
class Sketch:
    """One scan, small.

    Attributes:
        blocks: means over blocks, float32 [n].
        far: share of what is bright that lies far from every label, 0 to 1.
        labelled: share of what is bright that is labelled, 0 to 1.
    """

    blocks: NDArray[np.float32]
    far: float = 0.0
    labelled: float = 1.0


@dataclass(frozen=True)
class Doubts:
    """What was noticed.

    Attributes:
        alike: pairs of people, as their places in the sorted list, that look like one.
        likeness: the least of these pairs; ``others`` the greatest of everybody else.
        heads: scans that show a whole head, ``scans`` all of them.
    """

    alike: list[tuple[int, int]] = field(default_factory=list)
    likeness: float = 0.0
    others: float = 0.0
    heads: int = 0
    scans: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """For the card: sentences without names."""
        found = []
        if self.alike:
            found.append(
                f"{len(self.alike)} pairs of people look like one person under two names (they correlate by"
                f" {self.likeness:.2f} or more, all others by {self.others:.2f} or less): if they are, figures about"
                " identity count one person as two"
            )
        if self.heads:
            found.append(
                f"{self.heads} of {self.scans} images show a whole head, while the label maps cover the brain alone:"
                " the face is attacked and scored with it; to audit brains, take away what is no brain before"
            )
        return tuple(found)

    def named(self, people: Sequence[str]) -> str | None:
        """For the terminal of who owns the data: which people are doubted."""
        if not self.alike:
            return None
        return "; ".join(f"{people[a]} and {people[b]} look like one person" for a, b in self.alike[:5])


def find(
    files: Mapping[ScanId, tuple[Path, Path, Reading]],
    voxel_mm: float,
    memory: Path,
    fingerprint: str,
    jobs: int = 1,
    quiet: bool = True,
) -> Doubts:
    """Look at every scan once, and remember what was found.

    Args:
        files: image and label map of each scan, and how they are read.
        voxel_mm: of the common grid.
        memory: the cache folder; what is remembered holds no names.
        fingerprint: of the data.
        jobs: processes.
        quiet: no progress bar.

    Raises:
        DataError: a file cannot be read.
    """
    key = hashlib.sha256(repr((VERSION, fingerprint, sorted(files))).encode()).hexdigest()[:16]
    path = memory / "doubts" / f"{key}.json"
    known = _read(path)
    if known is not None:
        return known
    work = [(*files[scan], voxel_mm) for scan in files]
    sketches = run_jobs(sketch, work, jobs, f"looking at {len(work)} scans", quiet)
    found = judge(dict(zip(files, sketches, strict=True)))
    write_text(path, json.dumps(asdict(found)))
    return found


def sketch(image: Path, labels: Path, reading: Reading, voxel_mm: float) -> Sketch:
    """Read a scan and keep what :func:`judge` needs.

    Raises:
        DataError: it cannot be read.
    """
    from scipy.ndimage import distance_transform_edt

    volume = read_pair(image, labels, reading)
    side = max(1, round(BLOCK_MM / voxel_mm))
    blocks = _block_means(volume.image, side)
    bright, labelled = volume.image > BRIGHT, volume.labels > 0
    if not labelled.any() or not bright.any():
        return Sketch(blocks, labelled=0.0)
    far = distance_transform_edt(~labelled) * voxel_mm > AWAY_MM
    return Sketch(blocks, far=float(far[bright].mean()), labelled=float(labelled[bright].mean()))


def _block_means(image: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Means over cubes, flat; what is left over at the far ends is left out."""
    x, y, z = (max(1, length // side) for length in image.shape)
    whole = image[: x * side, : y * side, : z * side]
    cubes = whole.reshape(x, whole.shape[0] // x, y, whole.shape[1] // y, z, whole.shape[2] // z)
    means: NDArray[np.float32] = cubes.mean((1, 3, 5)).ravel().astype(np.float32)
    return means


def judge(sketches: Mapping[ScanId, Sketch]) -> Doubts:
    """Compare everybody with everybody.

    The likeness of two people is the greatest correlation between a scan of the one and a scan of the other, without
    the mean of all people. How much more alike than usual is measured in robust standard deviations (1.4826 times the
    median absolute deviation) of Fisher's z over all pairs of people.
    """
    whole = np.median([item.labelled for item in sketches.values()]) >= LABELLED_SHARE
    heads = sum(item.far > HEAD_SHARE for item in sketches.values()) if whole else 0
    told = Doubts(heads=heads, scans=len(sketches))
    people = sorted({scan.subject for scan in sketches})
    if len(people) < FEWEST:
        return told
    place = {person: number for number, person in enumerate(people)}
    owner = np.array([place[scan.subject] for scan in sketches])
    values = np.stack([item.blocks for item in sketches.values()])
    values = values - values.mean(0)
    values /= np.linalg.norm(values, axis=1, keepdims=True) + 1e-12
    between = values @ values.T
    likeness = np.full((len(people),) * 2, -1.0)
    np.maximum.at(likeness, (owner[:, None], owner[None, :]), between)
    first, second = np.triu_indices(len(people), 1)
    pairs = likeness[first, second]
    z = np.arctanh(pairs.clip(-0.999999, 0.999999))
    spread = 1.4826 * float(np.median(np.abs(z - np.median(z)))) + 1e-6
    chosen = (z > np.median(z) + FAR_SDS * spread) & (pairs >= LEAST_ALIKE)
    if not chosen.any():
        return told
    alike = [(int(a), int(b)) for a, b in zip(first[chosen], second[chosen], strict=True)]
    others = float(pairs[~chosen].max()) if not chosen.all() else math.nan
    return Doubts(alike, float(pairs[chosen].min()), others, heads, len(sketches))


def _read(path: Path) -> Doubts | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        content["alike"] = [(int(a), int(b)) for a, b in content["alike"]]
        return Doubts(**content)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
