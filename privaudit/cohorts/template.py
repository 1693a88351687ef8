"""The template that virtual people are warps of: ICBM 152 2009a (symmetric), from nilearn's wheel.

The maps are averages of 152 people: CSF in the sulci is blurred away and the brain's rim of CSF is cut. Classes are
therefore weighed (see :mod:`privaudit.cohorts.anatomy`), and a rim is added here.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from privaudit.cohorts.fields import Box, Field, Floats, Lattice
from privaudit.files import write_text

BOX: Final = Box((-72.0, -113.0, -75.0), (72.0, 79.0, 85.0))
"""144 x 192 x 160 mm around the brain, in the template's RAS millimetres."""

PAD: Final = 8
"""Voxels of background kept around the brain."""

RIM_VOXELS: Final = 2
"""Thickness of the CSF added around the brain, in voxels of the template (1 mm)."""


@dataclass(frozen=True)
class Template:
    """Maps to be warped.

    Attributes:
        maps: five channels: shares of background, CSF, GM and WM (sum 1), and the T1 left over beside the tissue
            means.
    """

    maps: Field

    @cached_property
    def background(self) -> Field:
        """The share of background alone."""
        return Field(self.maps.values[:1], self.maps.nodes)

    @cached_property
    def tissue(self) -> Field:
        """All maps but the background's."""
        return Field(self.maps.values[1:], self.maps.nodes)


def _load() -> tuple[Floats, Floats, Floats, NDArray[np.float64]]:
    from nilearn.datasets import load_mni152_gm_template, load_mni152_template, load_mni152_wm_template

    images = [f(resolution=1) for f in (load_mni152_template, load_mni152_gm_template, load_mni152_wm_template)]
    t1, gm, wm = (np.asarray(image.dataobj, dtype=np.float32) for image in images)
    return t1, gm, wm, np.asarray(images[0].affine)


def template_hash(folder: Path) -> str:
    """Return the SHA-256 of the template's voxels; as that takes a while, ``folder`` keeps it per nilearn version."""
    note = folder / f"template-nilearn-{version('nilearn')}.sha256"
    if note.is_file() and len(text := note.read_text(encoding="utf-8", errors="replace").strip()) == 64:
        return text
    hasher = hashlib.sha256()
    for part in _load():
        hasher.update(np.ascontiguousarray(part).tobytes())
    write_text(note, hasher.hexdigest() + "\n")
    return hasher.hexdigest()


@lru_cache(maxsize=1)
def load_template(voxel_mm: float) -> Template:
    """Prepare the maps for images of ``voxel_mm`` (smoothed so that coarse voxels do not alias)."""
    t1, gm, wm, affine = _load()
    low, high = (edge(np.nonzero(t1), axis=1) for edge in (np.min, np.max))
    low = np.maximum(low - PAD, 0)
    keep = tuple(slice(start, stop + PAD + 1) for start, stop in zip(low, high, strict=True))
    t1, gm, wm = t1[keep], gm[keep], wm[keep]
    brain = t1 > 0
    rim = ndimage.binary_dilation(brain, iterations=RIM_VOXELS)
    inside = ndimage.gaussian_filter(rim.astype(np.float32), 0.7)
    csf = np.clip(inside - gm - wm, 0, None)
    shares = np.stack([1 - inside, csf, gm * inside, wm * inside])
    shares /= shares.sum(axis=0)
    means = [float((t1 * share * brain).sum() / (share * brain).sum()) for share in shares[1:]]
    rest = np.where(brain, t1 - sum(m * s for m, s in zip(means, shares[1:], strict=True)), 0)
    maps = np.concatenate([shares, rest[None]]).astype(np.float32)
    if voxel_mm > 1:
        maps = np.stack([ndimage.gaussian_filter(m, 0.35 * voxel_mm) for m in maps])
    x, y, z = (float(value) for value in affine[:3, 3] + low)
    i, j, k = maps.shape[1:]
    return Template(Field(maps, Lattice((x, y, z), 1.0, (i, j, k))))
