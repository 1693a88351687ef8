"""How a scan's intensities become [0, 1]: a setting that every record prints."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import AfterValidator
from pydantic import Field as Option

from privaudit.cohorts.fields import Floats


def check_rule(rule: float | str) -> float | str:
    """Return the rule if it is one: a positive number, or ``p`` and a percentile above 50.

    >>> check_rule("p99.9"), check_rule("1500")
    ('p99.9', 1500.0)
    """
    text = str(rule)
    try:
        number = float(text.removeprefix("p"))
    except ValueError:
        number = -1.0
    if text.startswith("p") and 50 < number <= 100:
        return text
    if not text.startswith("p") and 1e-30 <= number <= 1e30:
        return number
    raise ValueError(
        "must be a positive number (1e-30 to 1e30: clip there and divide) or a percentile such as p99.9 (above p50)"
    )


IntensityRule = Annotated[
    float | str,
    AfterValidator(check_rule),
    Option(
        description="intensity that becomes 1, everything above is clipped: a number, or the percentile of each "
        "scan's own non-zero voxels, as p99.9"
    ),
]


def normalise(image: Floats, rule: float | str) -> Floats:
    """Clip at 0 and at what ``rule`` says, and divide: the result lies in [0, 1]."""
    image = np.clip(image, 0, None)
    if isinstance(rule, str):
        positive = image[image > 0]
        top = float(np.percentile(positive, float(rule.removeprefix("p")))) if positive.size else 1.0
    else:
        top = rule
    return np.asarray(np.minimum(image / np.float32(top), 1), np.float32)
