"""A few smooth random volumes: what plugins are checked on, in seconds. Nobody's brain looks like them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from privaudit.contracts.cohort import Attribute, Cohort, Dataset, ScanId, Volume

SIDE: Final = 32
PEOPLE: Final = 32
SESSIONS: Final = 2


class ToyCohort(Cohort):
    """Everybody has a texture of their own, on a common one; sessions differ by a little noise."""

    name = "toy"
    shape = (SIDE,) * 3
    voxel_mm = 1.0
    shareable = True
    simulated = "virtual textures"

    @property
    def scans(self) -> Sequence[ScanId]:
        """Two of each."""
        return [ScanId(f"t{s:03d}", str(v + 1)) for s in range(PEOPLE) for v in range(SESSIONS)]

    def load(self, scan: ScanId) -> Volume:
        """Make a scan."""
        image = 0.5 + 0.12 * _field("template", 5.0) + 0.15 * _field(scan.subject, 2.5)
        image = image + 0.03 * _field(f"{scan.subject}/{scan.session}", 1.0)
        mask = _within(0.47)
        image = np.clip(image, 0.02, 1) * mask
        labels = (mask * (1 + (image > 0.45) + (image > 0.55))).astype(np.uint8)
        return Volume(image.astype(np.float32), labels, np.eye(4))

    def attributes(self, subject: str) -> Mapping[str, Attribute]:
        """The brighter the older, and the middle tells the sex."""
        own = _field(subject, 2.5)
        age = 50 + 100 * float(own[_within(0.47)].mean())
        return {"age": age, "sex": "M" if own[_within(0.15)].mean() > 0 else "F"}

    @property
    def fingerprint(self) -> str:
        """Of the code that makes it, which is part of every key."""
        return hashlib.sha256(b"toy 1").hexdigest()


def _within(radius: float) -> NDArray[np.bool_]:
    grid = np.indices((SIDE,) * 3) - (SIDE - 1) / 2
    return np.asarray(np.sqrt((grid**2).sum(axis=0)) < radius * SIDE)


def _field(name: str, sigma: float) -> NDArray[np.float64]:
    seed = np.frombuffer(hashlib.sha256(name.encode()).digest(), dtype=np.uint32)
    field: NDArray[Any] = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((SIDE,) * 3), sigma)
    return np.asarray(field / field.std())


class ToyDataset(Dataset):
    """For checks of plugins."""

    name = "toy"
    summary = "smooth random volumes, for checks of plugins"

    def open(self, *, cache: Path | None = None, jobs: int = 1, quiet: bool = True) -> Cohort:
        """Open it; everything is made when it is loaded."""
        return ToyCohort()
