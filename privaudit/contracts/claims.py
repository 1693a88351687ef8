"""Claims: what an attack returns. Only the core, which holds the secrets, scores them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.errors import ClaimError
from privaudit.imaging.patches import Shape
from privaudit.msssim.ranking import SimilarityLike


class Claim:
    """Base of whatever an attack may claim; what becomes of it is the business of a kind of claim."""

    def checked(self, shape: Shape, attack: str) -> Self:
        """The claim, fit to be scored.

        Args:
            shape: of the volumes under attack, in voxels.
            attack: who claims, for messages.

        Raises:
            ClaimError: it cannot be scored.
        """
        return self


@dataclass(frozen=True, eq=False)
class Reconstruction(Claim):
    """The attacker's picture of a target.

    Attributes:
        request: which request.
        image: float [X, Y, Z] on the transcript's grid; the core clips it to [0, 1] before scoring.
        reference: the attacker's picture of what the first view was mixed with; None scores ``image`` for both.
        positions: corners [P, 3] of the patches that were attacked, where not all were: only they are scored, and every
            other attacker it is compared with on the same ones.
        alternatives: other pictures of target and reference, of which the scorer keeps the likest to the truth: an
            upper bound on what the attacker has, and said to be one.
        exchangeable: the attacker cannot tell target from reference; the scorer takes the better order, and says so.
        diagnostics: figures about the attack itself, for the table.
    """

    request: str
    image: Tensor
    reference: Tensor | None = None
    positions: NDArray[np.int64] | None = None
    alternatives: tuple[tuple[Tensor, Tensor], ...] = ()
    exchangeable: bool = False
    diagnostics: Mapping[str, float] = field(default_factory=dict)

    def checked(self, shape: Shape, attack: str) -> Self:
        """Return the claim clipped to [0, 1] in float32.

        Raises:
            ClaimError: another shape, or values that are not finite.
        """

        def clean(image: Tensor) -> Tensor:
            if tuple(image.shape) != shape:
                raise ClaimError(
                    f"attack '{attack}' claims an image of another shape", got=tuple(image.shape), allowed=shape
                )
            if not bool(torch.isfinite(image).all()):
                raise ClaimError(f"attack '{attack}' claims an image with values that are not finite")
            return image.detach().to("cpu", torch.float32).clamp(0, 1)

        reference = None if self.reference is None else clean(self.reference)
        others = tuple((clean(image), clean(other)) for image, other in self.alternatives)
        return replace(self, image=clean(self.image), reference=reference, alternatives=others)


@dataclass(frozen=True, eq=False)
class LabelMap(Claim):
    """The attacker's segmentation of a target: which structure lies where.

    Attributes:
        request: which request.
        labels: integers [X, Y, Z] on the transcript's grid, 0 background and then the cohort's structures.
        reference: the same of what the first view was mixed with; None scores ``labels`` for both.
        exchangeable: the attacker cannot tell target from reference; the scorer takes the better order, and says so.
        diagnostics: figures about the attack itself, for the table.
    """

    request: str
    labels: NDArray[np.integer[Any]]
    reference: NDArray[np.integer[Any]] | None = None
    exchangeable: bool = False
    diagnostics: Mapping[str, float] = field(default_factory=dict)

    def checked(self, shape: Shape, attack: str) -> Self:
        """Return the claim with maps of int64; which labels there may be is checked by the kind, which knows them.

        Raises:
            ClaimError: another shape, or values that are no whole numbers from 0.
        """

        def clean(labels: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
            found = np.asarray(labels)
            if found.shape != shape:
                raise ClaimError(
                    f"attack '{attack}' claims a label map of another shape", got=found.shape, allowed=shape
                )
            if not np.issubdtype(found.dtype, np.integer):
                raise ClaimError(
                    f"attack '{attack}' claims labels that are no whole numbers", got=found.dtype, allowed="integers",
                    todo="claim the most likely label of each voxel",
                )  # fmt: skip
            if found.size and int(found.min()) < 0:
                raise ClaimError(f"attack '{attack}' claims negative labels", got=int(found.min()), allowed="from 0")
            return found.astype(np.int64)

        reference = None if self.reference is None else clean(self.reference)
        return replace(self, labels=clean(self.labels), reference=reference)


@dataclass(frozen=True, eq=False)
class Similarity(Claim):
    """How alike the attacker finds each query and each gallery entry; the core asks only for what ranks need.

    Attributes:
        scores: rows are the transcripts in the order handed over; columns are the same transcripts (encoded-to-encoded)
            or the raw gallery's entries in their order.
    """

    scores: SimilarityLike


@dataclass(frozen=True, eq=False)
class Attributes(Claim):
    """What the attacker says of the person behind a request.

    Attributes:
        request: which request.
        numbers: a claimed value of each attribute that is a number, by name: {'age': 54.0}, in years.
        shares: of each attribute that is a class, how likely each class is, by name: {'sex': {'F': 0.2, 'M': 0.8}};
            only the order of people counts.
        diagnostics: figures about the attack itself, for the table.
    """

    request: str
    numbers: Mapping[str, float] = field(default_factory=dict)
    shares: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    diagnostics: Mapping[str, float] = field(default_factory=dict)

    def checked(self, shape: Shape, attack: str) -> Self:
        """Return the claim.

        Raises:
            ClaimError: a value that is not finite.
        """
        values = [*self.numbers.values(), *(share for shares in self.shares.values() for share in shares.values())]
        if not all(math.isfinite(value) for value in values):
            raise ClaimError(f"attack '{attack}' claims an attribute that is not finite")
        return self
