"""One virtual person: a warp of the template, own widths of the tissues, own contrast and texture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privaudit.cohorts.fields import Box, Field, Floats, Lattice, exponential, random_field
from privaudit.cohorts.template import BOX, Template

CONTROL_MM: Final = 4.0
"""Node distance of the lattice that warps are integrated on."""

TEXTURE_MM: Final = 2.5
"""Node distance of the lattice that texture is kept on."""


@dataclass(frozen=True)
class AnatomyModel:
    """How much people differ; calibrated against 48 real brains (``python -m privaudit.cohorts.calibration``).

    Attributes:
        warp: (knot distance in mm, standard deviation in mm) of each scale of the velocity field.
        weights: log-weights of CSF, GM and WM, which undo the template's blur.
        weights_sd: standard deviation of the same over people.
        folding: (knot distance in mm, standard deviation) of each scale of local log-weights; it widens and narrows
            sulci and moves the border of grey and white matter.
        sharpness: power of the class shares; above 1 it sharpens the template's blurred borders.
        means: T1 intensity of CSF, GM and WM.
        means_sd: standard deviation of the same over people.
        texture: standard deviation of smooth variation inside the tissue.
        csf_texture: the same, on top, in CSF, which vessels and membranes make uneven.
        deep: share of the template's own T1 left over (deep nuclei) that is kept.
    """

    warp: tuple[tuple[float, float], ...] = ((48.0, 1.8), (24.0, 1.2), (12.0, 0.8))
    weights: tuple[float, float, float] = (0.78, 0.06, 0.47)
    weights_sd: tuple[float, float, float] = (0.1, 0.03, 0.03)
    folding: tuple[tuple[float, float], ...] = ((30.0, 0.25), (8.0, 0.6))
    sharpness: float = 1.8
    means: tuple[float, float, float] = (0.17, 0.44, 0.658)
    means_sd: tuple[float, float, float] = (0.01, 0.01, 0.003)
    texture: float = 0.015
    csf_texture: float = 0.08
    deep: float = 0.5


@dataclass(frozen=True)
class Anatomy:
    """One drawn person.

    Attributes:
        displacement: from the person's space to the template's, three channels (mm).
        balance: local log-weight of CSF and of WM against GM, two channels.
        weights: log-weights of CSF, GM and WM.
        means: T1 intensity of CSF, GM and WM.
        texture: unevenness of the tissue, one channel, standard deviation 1.
        model: what the person was drawn from.
    """

    displacement: Field
    balance: Field
    weights: Floats
    means: Floats
    texture: Field
    model: AnatomyModel


def draw_anatomy(rng: np.random.Generator, model: AnatomyModel | None = None, box: Box = BOX) -> Anatomy:
    """Draw a person."""
    m = AnatomyModel() if model is None else model
    return Anatomy(
        displacement=exponential(_sum_of_scales(rng, box, m.warp, channels=3)),
        balance=_sum_of_scales(rng, box, m.folding, channels=2),
        weights=(np.array(m.weights) + rng.normal(0, m.weights_sd)).astype(np.float32),
        means=(np.array(m.means) + rng.normal(0, m.means_sd)).astype(np.float32),
        texture=_table(random_field(rng, box, 5.0, [1.0]), box.lattice(TEXTURE_MM)),
        model=m,
    )


def _table(field: Field, nodes: Lattice) -> Field:
    """Read a field off at ``nodes``, to be linear in between: quicker where it is read at many places."""
    return Field(field.on(nodes), nodes)


def _sum_of_scales(rng: np.random.Generator, box: Box, scales: Sequence[tuple[float, float]], channels: int) -> Field:
    nodes = box.lattice(CONTROL_MM, margin=2 * CONTROL_MM)
    fields = [random_field(rng, box, knots, [amplitude] * channels).on(nodes) for knots, amplitude in scales]
    return Field(np.sum(fields, axis=0), nodes)


@dataclass(frozen=True)
class Tissue:
    """What a person is made of at some points.

    Attributes:
        inside: bool ``[...]``, which of the points asked for lie in or near the brain; the rest is about those ``N``.
        where: ``[3, N]``, their places in the template's space (mm).
        shares: ``[4, N]`` of background, CSF, GM and WM, sum 1.
        intensity: ``[N]``, T1, about [0, 1], 0 in the background.
    """

    inside: NDArray[np.bool_]
    where: Floats
    shares: Floats
    intensity: Floats


def tissue_at(template: Template, person: Anatomy, points: Floats) -> Tissue:
    """Return what ``person`` is made of at ``points`` ``[3, ...]`` (mm, in the person's space)."""
    where = points + person.displacement.at(points)
    background = template.background.at(where)
    inside = background[0] < 0.99
    where, points = where[:, inside], points[:, inside]
    maps = np.concatenate([background[:, inside], template.tissue.at(where)])
    shares = weigh(maps[:4], person.weights, person.balance.at(points), person.model.sharpness)
    c, g, w = person.means
    uneven = (person.model.texture + person.model.csf_texture * shares[1]) * person.texture.at(points)[0]
    rest = person.model.deep * maps[4] + uneven
    intensity = c * shares[1] + g * shares[2] + w * shares[3] + (1 - shares[0]) * rest
    return Tissue(inside, where, shares, intensity)


def weigh(shares: Floats, weights: Floats, balance: Floats, sharpness: float) -> Floats:
    """Sharpen class shares ``[4, N]`` and shift their balance.

    ``p_k`` becomes proportional to ``(w_k p_k)^sharpness``, where the log-weights are ``weights`` ``[3]`` of CSF, GM
    and WM plus ``balance`` ``[2, N]`` of CSF and of WM. The background keeps weight 1.
    """
    log = np.log(np.clip(shares, 1e-6, 1))
    log[1:] += weights[:, None]
    log[1] += balance[0]
    log[3] += balance[1]
    power = np.exp(np.float32(sharpness) * (log - log.max(axis=0)))
    return np.asarray(power / power.sum(axis=0), dtype=np.float32)
