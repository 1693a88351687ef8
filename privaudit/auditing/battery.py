"""The standard battery: a fixed, numbered list of attacks, so that two papers' figures mean the same.

A list never changes once it was released: a new attack, or one that looks at more, makes the next one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, get_args

from privaudit.specs import PluginSpec

Budget = Literal["quick", "full", "thorough"]
"""Some ten minutes on two cores with the default cohort; an hour or two; a night."""
BUDGETS: Final[tuple[Budget, ...]] = get_args(Budget)
VERSION: Final = "standard-4"
STANDARD: Final = "standard"
"""What stands in a specification, or after ``--attack``, for the newest list."""


def _attack(name: str, **options: Any) -> PluginSpec:
    return PluginSpec.model_validate({"name": name, **options})


_QUICK: Final = (
    _attack("reid", coarse=True),
    _attack("average", views=[]),
    _attack("joint"),
    _attack("invert"),
    _attack("unwrap"),
    _attack("chosen"),
    _attack("decode-maps", maps=["returned"]),
    _attack("unwrapped-reid"),
)
_FULL: Final = (
    _attack("reid"),
    _attack("average"),
    _attack("joint", views=[1, 2, 3, 5], requests=[2, 4, 8, 16]),
    _attack("invert", effort=["linear", "network"]),
    _attack("unwrap", effort="full"),
    _attack("chosen"),
    _attack("decode-maps"),
    _attack("joint-reid"),
    _attack("decoded-reid"),
    _attack("unwrapped-reid", effort="full", people=None),
    _attack("inverted-reid"),
    _attack("learned-reid"),
    _attack("registered-reid"),
)
OFF_GRID: Final = (_attack("values"), _attack("values-reid"))
"""What joins an audit where encodings are not on the image's grid: other attacks see them resampled."""
BATTERY: Final[Mapping[Budget, tuple[PluginSpec, ...]]] = {
    "quick": _QUICK,
    "full": _FULL,
    "thorough": (*_FULL[:-2], _attack("learned-reid", repeats=5), _FULL[-1]),
}
"""The attacks of each budget. Where a trained prior is there, ``bss`` may stand beside them; it fits mixtures alone."""


def named_battery(attacks: tuple[PluginSpec, ...]) -> str | None:
    """Version and budget of the largest battery that is among some attacks, option for option; None without any."""
    there = [budget for budget in BUDGETS if all(attack in attacks for attack in BATTERY[budget])]
    return f"{VERSION}, budget {there[-1]}" if there else None
