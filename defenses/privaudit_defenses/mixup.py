"""Mixup-Privacy (Kim et al., IPMI 2023): every patch is mixed with a secret labelled reference patch."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator
from torch import Tensor

from privaudit.contracts.cohort import Volume
from privaudit.contracts.defense import Defense, Encoded, Key
from privaudit.contracts.options import PluginOptions
from privaudit.contracts.recipe import Recipe
from privaudit.contracts.scheme import Mixing
from privaudit.errors import DataError, OptionError
from privaudit.imaging import mixing
from privaudit.imaging.mixing import Draw
from privaudit.imaging.patches import Shape, as_tensor, cut, grid_positions, one_hot, stitch

Share = Annotated[float, Field(ge=0, le=1)]


class MixupOptions(PluginOptions):
    """What the paper leaves open is an option here, and printed in every record.

    The defaults follow its re-identification experiment, where each image is mixed 'with a randomly chosen reference':
    one reference per encoded view, one weight per target. Training draws both per patch.
    """

    patch_size: Annotated[int, Field(ge=2)] | None = Field(
        default=32, description="side of the patches in voxels (the paper: 32 and 64); null mixes whole volumes"
    )
    stride: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="step between patches in voxels; null for the patch size"
    )
    alpha: Share | tuple[Share, Share] = Field(
        default=(0.0, 1.0), description="mixing weight of the target: a number, or [low, high] to draw uniformly"
    )
    alpha_per: mixing.AlphaPer = Field(
        default="volume", description="one weight per patch, per request (encoded view) or per volume (all its views)"
    )
    fresh_alpha: bool = Field(
        default=False, description="with alpha_per=patch: a new weight in every view (equation 5 shares one)"
    )
    views: Annotated[int, Field(ge=1)] = Field(
        default=10, description="encoded views of each target (test-time augmentation, equation 5)"
    )
    references: Annotated[int, Field(ge=1)] = Field(default=1, description="references per mixture (the paper: 1)")
    reference_weights: Literal["equal", "simplex"] = Field(
        default="equal", description="shares of several references: equal, or drawn uniformly on the simplex"
    )
    reference_per: Literal["patch", "volume"] = Field(
        default="volume", description="draw references anew for each patch, or once for all patches of a view"
    )
    reference_position: Literal["aligned", "random"] = Field(
        default="aligned", description="cut reference patches at the target's place, or anywhere"
    )
    reference_reuse: Literal["allowed", "never"] = Field(
        default="allowed",
        description="whether a scan may be mixed in twice; 'never' needs as many as views × references × targets",
    )
    precision: Literal["float32", "float16"] = Field(default="float32", description="in which mixtures are sent")

    @field_validator("alpha")
    @classmethod
    def _range(cls, value: float | tuple[float, float]) -> float | tuple[float, float]:
        low, high = value if isinstance(value, tuple) else (value, value)
        if low > high:
            raise ValueError("the lower end is above the upper end")
        if high == 0:
            raise ValueError("at a mixing weight of 0 nothing of the target is sent; use (0, 1]")
        return value

    @model_validator(mode="after")
    def _covers(self) -> MixupOptions:
        if self.stride is not None and (self.patch_size is None or self.stride > self.patch_size):
            raise ValueError("stride needs a patch_size, and may not exceed it")
        if self.reference_position == "random" and self.patch_size is None:
            raise ValueError("whole volumes have no random reference position; set patch_size")
        return self


@dataclass(frozen=True, eq=False, repr=False)
class MixupKey(Key):
    """Reference patches with their labels, and mixing weights.

    Attributes:
        draw: what was drawn.
        positions: int64 [N, 3], the target patches' corners.
        size: patch in voxels.
        shape: volume in voxels.
        pool: the reference scans.
    """

    draw: Draw
    positions: NDArray[np.int64]
    size: Shape
    shape: Shape
    pool: Sequence[Volume]

    def images(self, views: int) -> Tensor:
        """The combined reference patches of the first views, float32 [views, N, *patch].

        Raises:
            DataError: a reference has another shape than the target.
        """

        def load(index: int) -> Tensor:
            image = as_tensor(self.pool[index].image)
            if (shape := tuple(image.shape)) != self.shape:
                raise DataError("a reference has another shape than the target", got=shape, allowed=self.shape)
            return image

        return self.draw.gather(views, self.size, load)

    def labels(self, views: int, classes: int) -> Tensor:
        """One-hot labels of the combined references, float32 [views, N, C, *patch]."""
        return self.draw.gather(views, self.size, lambda i: one_hot(self.pool[i].labels, classes), (classes,))

    def alpha(self, views: int) -> Tensor:
        """Mixing weights of the first views, float64 [views, N]."""
        return torch.from_numpy(self.draw.alpha[:views])


class MixupDefense(Defense):
    """``α·target + (1 − α)·reference`` on patches, with naive unmixing (equation 4) on the client."""

    name = "mixup"
    summary = "Mixup-Privacy (IPMI 2023): patches mixed with secret labelled reference patches"
    needs_pool = True
    alike = True  # each view has weights and references of its own, drawn in the same way
    Options = MixupOptions
    options: MixupOptions

    @property
    def views(self) -> int:
        """Encoded views per target."""
        return self.options.views

    @property
    def mixing(self) -> Mixing:
        """As the options say."""
        o = self.options
        return Mixing(o.references, o.reference_position == "aligned", o.alpha_per, o.fresh_alpha, o.reference_per)

    @property
    def alpha_range(self) -> tuple[float, float]:
        """As the options say."""
        alpha = self.options.alpha
        return alpha if isinstance(alpha, tuple) else (alpha, alpha)

    @property
    def patch_size(self) -> int | None:
        """Side of the patches, None for whole volumes."""
        return self.options.patch_size

    @property
    def spends_references(self) -> bool:
        """Whether references are used up."""
        return self.options.reference_reuse == "never"

    def share_of_pool(self, request: int, requests: int, pool: int) -> Sequence[int]:
        """Where no reference is used twice, a part of the pool for each request; else all of it.

        Raises:
            OptionError: the pool is too small.
        """
        if not self.spends_references:
            return super().share_of_pool(request, requests, pool)
        return mixing.disjoint_part(pool, request, requests, self.options.views, self.options.references)

    def draw_key(self, shape: Shape, pool: Sequence[Volume], rng: random.Random) -> MixupKey:
        """Draw weights and references.

        Raises:
            OptionError: the patch does not fit, or the pool is empty or too small.
        """
        o = self.options
        if not pool:
            raise OptionError("mixup needs a pool of labelled reference scans", got=0, todo="add people to the pool")
        size: Shape = shape if o.patch_size is None else (o.patch_size,) * 3
        stride: Shape = size if o.stride is None else (o.stride,) * 3
        positions = grid_positions(shape, size, stride)
        n, k, whole = len(positions), o.references, o.reference_per == "volume"
        draw = Draw(
            alpha=mixing.draw_alpha(rng, *self.alpha_range, o.views, n, o.alpha_per, o.fresh_alpha),
            subjects=mixing.draw_subjects(rng, len(pool), o.views, n, k, whole, self.spends_references),
            weights=mixing.draw_weights(rng, o.views, n, k, o.reference_weights == "equal"),
            corners=mixing.draw_corners(rng, positions, shape, size, o.views, k, o.reference_position == "aligned"),
        )
        return MixupKey(draw, positions, size, shape, pool)

    def encode(self, image: Tensor, key: Key, views: int) -> Encoded:
        """Equation 2 (and 5 for several views)."""
        assert isinstance(key, MixupKey)
        sent = mixing.mix(cut(image, key.positions, key.size), key.images(views), key.alpha(views))
        return Encoded(sent.to(getattr(torch, self.options.precision)).float(), key.positions)

    def respond(self, labels: Tensor, key: Key, views: int) -> Tensor:
        """Equation 3: the mixed one-hot map."""
        assert isinstance(key, MixupKey)
        references = key.labels(views, labels.shape[0])
        return mixing.mix(cut(labels, key.positions, key.size), references, key.alpha(views))

    def decode(self, returned: Tensor, key: Key) -> Tensor:
        """Equation 4 on every patch and view, the mean over views (equation 5), stitched."""
        views, _, classes = returned.shape[:3]
        references, alpha = self.side_information(key, views, classes)
        return self.assemble(mixing.unmix(returned, references, alpha).mean(dim=0), key)

    def training_recipe(self, size: int) -> Recipe:
        """Weights and references as in use, but drawn anew for each patch, as the paper trains."""
        o = self.options
        return Recipe(size, self.alpha_range, o.references, o.reference_weights == "equal", self.mixing.aligned)

    def side_information(self, key: Key, views: int, classes: int) -> tuple[Tensor, Tensor]:
        """The references' labels, combined if there are several, and α."""
        assert isinstance(key, MixupKey)
        return key.labels(views, classes), key.alpha(views)

    def assemble(self, maps: Tensor, key: Key) -> Tensor:
        """Stitch patches; where they overlap, their mean."""
        assert isinstance(key, MixupKey)
        return stitch(maps, key.positions, key.shape).float()

    def bystanders(self, key: Key, views: int) -> Tensor:
        """The reference patches, combined if there are several."""
        assert isinstance(key, MixupKey)
        return key.images(views)

    def owners(self, key: Key) -> tuple[int, ...]:
        """The pool's people whose patches are in the first view."""
        assert isinstance(key, MixupKey)
        return tuple(int(index) for index in np.unique(key.draw.subjects[0]))

    def drawn(self, key: Key) -> Draw:
        """Weights, references and places."""
        assert isinstance(key, MixupKey)
        return key.draw

    def weights(self, key: Key) -> NDArray[np.float64]:
        """α of every view and patch."""
        assert isinstance(key, MixupKey)
        return key.draw.alpha
