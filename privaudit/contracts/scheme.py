"""What an adversary knows of the scheme: everything but the keys (Kerckhoffs)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from privaudit.imaging.mixing import AlphaPer


@dataclass(frozen=True)
class Mixing:
    """How a scheme mixes others' images in; attacks on mixtures read it.

    The defaults also serve where nothing is mixed: then an attack finds mixing weights of 1.

    Attributes:
        references: how many others are in one mixture.
        aligned: whether reference patches are cut at the target's place, else anywhere.
        alpha_per: whether each patch, each encoded view or each volume has a mixing weight of its own.
        fresh_alpha: with a weight for each patch, whether every view draws new ones.
        reference_per: whether each patch of a view has references of its own, or all patches the same.
    """

    references: int = 1
    aligned: bool = True
    alpha_per: AlphaPer = "patch"
    fresh_alpha: bool = False
    reference_per: Literal["patch", "volume"] = "patch"

    @property
    def pooled(self) -> bool:
        """Whether all patches of a view share one mixing weight."""
        return self.alpha_per != "patch"

    @property
    def whole(self) -> bool:
        """Whether all patches of a view share references and mixing weight: then it is one mixture."""
        return self.pooled and self.reference_per == "volume"

    @property
    def fresh(self) -> bool:
        """Whether every view has mixing weights of its own."""
        return self.alpha_per == "request" or (self.alpha_per == "patch" and self.fresh_alpha)


@dataclass(frozen=True)
class Scheme:
    """The scheme under attack.

    Attributes:
        name: of the defense.
        params: its options.
        mixing: how it mixes others in.
        mixes: whether it mixes anybody in.
    """

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    mixing: Mixing = Mixing()
    mixes: bool = False

    @property
    def mixed(self) -> Mixing | None:
        """How it mixes others in; None where it does not."""
        return self.mixing if self.mixes else None
