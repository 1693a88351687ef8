"""Smooth random blobs: small, instant, and each subject unmistakable."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field
from scipy import ndimage

from privaudit.contracts.cohort import Attribute, Cohort, Dataset, ScanId, Volume
from privaudit.contracts.options import PluginOptions


class BlobsOptions(PluginOptions):
    """How many blobs."""

    subjects: Annotated[int, Field(ge=3)] = Field(default=24, description="number of people")
    sessions: Annotated[int, Field(ge=1)] = Field(default=2, description="sessions of each")
    side: Annotated[int, Field(ge=28)] = Field(default=32, description="side of the cube in voxels")
    noise: Annotated[float, Field(ge=0)] = Field(default=0.03, description="difference between sessions")
    seed: int = Field(default=0, description="seed of the shapes")
    flat: bool = Field(default=False, description="two grey levels instead of smooth ones: what separation can use")


class BlobsCohort(Cohort):
    """Everything is made when it is loaded."""

    name = "blobs"
    voxel_mm = 1.0
    shareable = True
    simulated = "made-up blobs"

    def __init__(self, options: BlobsOptions) -> None:
        self._options = options
        self.shape = (options.side,) * 3

    @property
    def scans(self) -> Sequence[ScanId]:
        o = self._options
        return [ScanId(f"b{s:03d}", str(v + 1)) for s in range(o.subjects) for v in range(o.sessions)]

    def load(self, scan: ScanId) -> Volume:
        o = self._options
        common = self._field("template", 5.0)
        own = self._field(scan.subject, 2.5)
        image = 0.5 + 0.12 * common + 0.15 * own
        image = image + o.noise * self._field(f"{scan.subject}/{scan.session}", 1.0)
        if o.flat:
            image = np.where(image > 0.5, 0.75, 0.35)
        mask = self._within(0.47)
        image = np.clip(image, 0.02, 1) * mask
        labels = (mask * (1 + (image > 0.45) + (image > 0.55))).astype(np.uint8)
        return Volume(image.astype(np.float32), labels, np.eye(4))

    def attributes(self, subject: str) -> Mapping[str, Attribute]:
        """The brighter a blob the older, and its middle tells its sex."""
        own = self._field(subject, 2.5)
        return {
            "age": 50 + 100 * float(own[self._within(0.47)].mean()),
            "sex": "M" if own[self._within(0.15)].mean() > 0 else "F",
        }

    def _within(self, radius: float) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        grid = np.indices(self.shape) - (self._options.side - 1) / 2
        return np.asarray(np.sqrt((grid**2).sum(axis=0)) < radius * self._options.side)

    def _field(self, name: str, sigma: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
        seed = np.frombuffer(hashlib.sha256(f"{self._options.seed}:{name}".encode()).digest(), dtype=np.uint32)
        field = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(self.shape), sigma)
        return np.asarray(field / field.std())

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(repr(self._options).encode()).hexdigest()


class BlobsDataset(Dataset):
    """Smooth random blobs, one texture per subject."""

    name = "blobs"
    summary = "example: smooth random blobs"
    Options = BlobsOptions

    def open(self, *, cache: Path | None = None, jobs: int = 1, quiet: bool = True) -> Cohort:
        return BlobsCohort(self.options)
