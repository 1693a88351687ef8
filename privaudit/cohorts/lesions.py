"""Painted tumours for the tumour task: necrotic core, enhancing rim and oedema, as contrast-enhanced T1 shows them.

A lesion is a bumpy ball in the template's space. It displaces nothing (no mass effect) and is the same in every
session.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from privaudit.cohorts.anatomy import Tissue
from privaudit.cohorts.fields import Field, Floats, random_field
from privaudit.cohorts.template import BOX, Template

NCR, ED, ET = 1, 2, 3

MEANS: Final = {NCR: 0.28, ED: 0.46, ET: 0.90}
"""Intensity of each part in contrast-enhanced T1, where white matter has about 0.66."""

EDGE_MM: Final = 0.8
"""Width over which a part's intensity passes into the next."""


@dataclass(frozen=True)
class Lesion:
    """One tumour, in the template's space.

    Attributes:
        centre: ``[3]`` mm.
        radii: outer radius in mm of core, rim and oedema, ascending.
        bumps: relative change of the radius from place to place, one channel for each part.
    """

    centre: Floats
    radii: tuple[float, float, float]
    bumps: Field


def draw_lesion(rng: np.random.Generator, template: Template) -> Lesion:
    """Draw a tumour centred in the white matter of the cerebrum."""
    nodes = template.maps.nodes
    deep = ndimage.minimum_filter(template.maps.values[3, ::4, ::4, ::4] > 0.5, 3)
    candidates = np.argwhere(deep) * 4 * nodes.spacing + np.array(nodes.origin)
    candidates = candidates[candidates[:, 2] > 0]
    centre = candidates[rng.integers(len(candidates))].astype(np.float32)
    rim = rng.uniform(10, 20)
    core, oedema = rim * rng.uniform(0.5, 0.8), rim + rng.uniform(6, 14)
    return Lesion(centre, (core, rim, oedema), random_field(rng, BOX, 10.0, (0.12, 0.12, 0.3)))


def paint(lesion: Lesion, tissue: Tissue) -> tuple[Floats, NDArray[np.uint8]]:
    """Return intensities ``[N]`` and tumour labels ``[N]`` (0 outside the tumour) of tissue with a lesion in it."""
    distance = np.sqrt(((tissue.where - lesion.centre[:, None]) ** 2).sum(axis=0))
    near = distance < 1.8 * lesion.radii[2]
    depth = np.full((3, len(distance)), -np.inf, np.float32)
    bumps = lesion.bumps.at(tissue.where[:, near])
    depth[:, near] = np.array(lesion.radii, np.float32)[:, None] * np.clip(1 + bumps, 0.4, 1.7) - distance[near]
    depth[1] = np.maximum(depth[1], depth[0] + 1.5)  # a rim of 1.5 mm at least
    # Oedema spreads through white matter, hardly through grey, and not into CSF.
    depth[2] = np.maximum(depth[2] - 8 * tissue.shares[2] - 40 * tissue.shares[1], depth[1])
    brain = tissue.shares[0] < 0.5
    intensity = tissue.intensity
    for part, mean in ((2, MEANS[ED]), (1, MEANS[ET]), (0, MEANS[NCR])):
        share = brain / (1 + np.exp(np.clip(-4 * depth[part] / EDGE_MM, -50, 50)))
        intensity = intensity + share * (np.float32(mean) - intensity)
    labels = np.select([depth[0] > 0, depth[1] > 0, depth[2] > 0], [NCR, ET, ED], 0)
    return intensity.astype(np.float32), np.where(brain, labels, 0).astype(np.uint8)
