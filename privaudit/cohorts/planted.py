"""Attributes that are planted in virtual people: an age that widens the ventricles, and a sex that scales the head.

Real brains differ in this way too: ventricles of old people are about twice as large as those of young ones (Fjell &
Walhovd 2010), and men's brains are a tenth larger than women's (Ritchie et al. 2018). Here the warp is an exact
function of what is planted, so that an attack on attributes can be held to something known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from privaudit.cohorts.fields import Floats
from privaudit.contracts.cohort import Attribute


@dataclass(frozen=True)
class PlantedModel:
    """What is planted.

    Attributes:
        ages: least and greatest age in years; every age between them is as likely.
        widest: of the greatest age, by what share of its distance a point near the ventricles is moved outwards; the
            least age moves nothing, and ages between them in proportion.
        middle: of the ventricles, in the template's millimetres.
        reach_mm: standard deviation of the Gaussian by which that fades with distance.
        smaller: size of a female head along each axis, as a share of a male one, which is the template's.
    """

    ages: tuple[float, float] = (20.0, 80.0)
    widest: float = 0.6
    middle: tuple[float, float, float] = (0.0, -8.0, 14.0)
    reach_mm: float = 25.0
    smaller: float = 0.97


MODEL: Final = PlantedModel()


def draw_attributes(rng: np.random.Generator, model: PlantedModel = MODEL) -> dict[str, Attribute]:
    """Draw somebody's 'age' in years, to one decimal, and 'sex', 'F' or 'M'."""
    return {"age": round(float(rng.uniform(*model.ages)), 1), "sex": "FM"[int(rng.integers(2))]}


def as_planted(points: Floats, age: float, sex: str, model: PlantedModel = MODEL) -> Floats:
    """Return where points of a person with planted attributes lie in the same person without.

    Args:
        points: ``[3, ...]``, mm.
        age: in years, within ``model.ages``.
        sex: 'F' or 'M'.
        model: what is planted.

    Returns:
        Places of the same shape. The map is one-to-one: a share below 1 never turns an order of distances round.
    """
    middle = np.array(model.middle, np.float32).reshape(3, *(1,) * (points.ndim - 1))
    away = (points - middle) / np.float32(model.smaller if sex == "F" else 1.0)
    youngest, oldest = model.ages
    share = model.widest * (age - youngest) / (oldest - youngest)
    near = np.exp(-0.5 * np.square(away).sum(axis=0) / model.reach_mm**2)
    return np.asarray(middle + away * (1 - share * near), dtype=np.float32)
