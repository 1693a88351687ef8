"""The contract of defenses (entry point ``privaudit.defenses``): the client's ``encode`` and ``decode``."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from privaudit.contracts.cohort import Cohort, Volume
from privaudit.contracts.plugin import Plugin
from privaudit.contracts.recipe import Recipe
from privaudit.contracts.scheme import Mixing, Scheme
from privaudit.contracts.trained import Trained
from privaudit.errors import PluginError
from privaudit.imaging.mixing import Draw
from privaudit.imaging.patches import Shape, stitch

ClientKind = Literal["none", "proxy", "velocity"]
"""What a client has to learn before it can encode: nothing, an encoder of images, a generator of deformations."""


class Key:
    """What only the client holds. It is never printed: its repr is its class name."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: secret>"


@dataclass(frozen=True, eq=False)
class Encoded:
    """What is sent: ``views`` float32 [V, N, *patch] and ``positions`` int64 [N, 3] of the patches' corners.

    Where what is sent is not on the image's grid, that is ``sent``, float32 [V, *any], and ``views`` show it as images.
    """

    views: Tensor
    positions: NDArray[np.int64]
    sent: Tensor | None = None

    @property
    def nbytes(self) -> int:
        """How much memory it takes."""
        return int(self.views.nbytes) + (0 if self.sent is None else int(self.sent.nbytes))

    def copied(self) -> Encoded:
        """The same with tensors of its own."""
        sent = None if self.sent is None else self.sent.clone()
        return Encoded(self.views.clone(), self.positions.copy(), sent)

    def averaged(self, image: Tensor) -> Tensor:
        """The mean of the views as a volume of the shape of the image [X, Y, Z]."""
        return stitch(self.views.mean(dim=0), self.positions, (image.shape[0], image.shape[1], image.shape[2]))


class Defense(Plugin):
    """Base of every scheme under audit.

    Keys are drawn from a ``random.Random``: ``random.SystemRandom()`` (the operating system's CSPRNG) in use, a seeded
    ``random.Random(seed)`` in an audit, where runs must repeat.
    """

    needs_pool: ClassVar[bool] = False
    """Whether ``draw_key`` needs labelled reference scans."""
    lossless: ClassVar[bool] = True
    """Whether an error-free server's maps decode to the labels exactly; False where interpolation blurs borders."""

    keyed: ClassVar[bool] = True
    """Whether there is a secret that differs from scan to scan."""
    client: ClassVar[ClientKind] = "none"
    """What the client has to learn before it can encode; :class:`privaudit.segmentation.learned.LearnedDefense`."""

    def fitted(self, cohort: Cohort, victims: Sequence[str]) -> Defense:
        """The defense, ready for a cohort; one that is trained finds its weights.

        Raises:
            OptionError: there are none, they do not fit, or a victim was trained on.
        """
        return self

    @property
    def answers(self) -> bool:
        """Whether it says what a server sends back, and what the client makes of it."""
        return type(self).respond is not Defense.respond and type(self).decode is not Defense.decode

    @property
    def fresh(self) -> bool:
        """Whether it encodes any image under any key; False where only encodings that were recorded are there."""
        return True

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of any figure must know of how it was run, in sentences without a full stop."""
        return ()

    def ahead(self, scans: Iterable[tuple[Tensor, Key]], jobs: int) -> None:
        """Encode scans that will be asked for, where that takes long, so many at a time; by default nothing."""

    def as_image(self, sent: Tensor, shape: Shape) -> Tensor | None:
        """One view that is off the image's grid, float32 of any shape, as an image; None to have it resampled."""
        return None

    @property
    def digest(self) -> str:
        """Whatever else decides what is sent: a hash of weights, or the version of a package; '' for nothing.

        Finished jobs of another digest are computed again. Code of the plugin's own package, options and a few real
        transcripts are compared anyway; a plugin may name what those could miss.
        """
        return ""

    @property
    def trained(self) -> Trained | None:
        """The weights of a scheme that is trained: the server's are among them."""
        return None

    @property
    def mixing(self) -> Mixing:
        """How others' images are mixed in; a scheme that mixes overrides this with its own options."""
        return Mixing()

    @property
    def scheme(self) -> Scheme:
        """What an adversary knows of it."""
        return Scheme(self.name, self.params, self.mixing, mixes=self.needs_pool)

    @property
    def views(self) -> int:
        """How many encoded views of one target are sent."""
        return 1

    @property
    def alike(self) -> bool:
        """Whether its views are drawn alike, as in test-time augmentation, so that one tells as much as another.

        Where it does not say so, attacks also look for what only one view, or the difference of two, tells.
        """
        return self.views == 1

    @property
    def patch_size(self) -> int | None:
        """Side of the patches in voxels, None where whole volumes are sent. Scoring follows it."""
        return None

    @property
    def spends_references(self) -> bool:
        """Whether a reference that was mixed in once is never used again: then clients keep account of them."""
        return False

    def share_of_pool(self, request: int, requests: int, pool: int) -> Sequence[int]:
        """Which of so many reference scans may be mixed into one of so many requests; by default any.

        Keys are drawn request by request: a scheme that never uses a reference twice gives each a part of its own.

        Raises:
            OptionError: there are too few.
        """
        return range(pool)

    def draw_key(self, shape: Shape, pool: Sequence[Volume], rng: random.Random) -> Key:
        """Draw the secret of one scan of this shape."""
        raise NotImplementedError

    def encode(self, image: Tensor, key: Key, views: int) -> Encoded:
        """Encode an image [X, Y, Z] into the first ``views`` views.

        However many are asked for, they are the same. Nothing of the key may show beyond what the scheme sends.
        """
        raise NotImplementedError

    def respond(self, labels: Tensor, key: Key, views: int) -> Tensor:
        """What an error-free server returns for one-hot labels [C, X, Y, Z]: float32 [views, N, C, *patch]."""
        raise NotImplementedError

    def decode(self, returned: Tensor, key: Key) -> Tensor:
        """Turn returned maps [V, N, C, *patch] into the target's [C, X, Y, Z]; from an error-free server, its labels.

        V is however many of the first views were sent.
        """
        raise NotImplementedError

    def training_recipe(self, size: int) -> Recipe:
        """How training examples of patches of this side are made; by default they are raw patches.

        Raises:
            PluginError: the defense mixes others in, and does not say how.
        """
        if self.needs_pool:
            raise PluginError(f"defense '{self.name}' does not say how to train for it", todo="write training_recipe")
        return Recipe(size, alpha=None)

    def side_information(self, key: Key, views: int, classes: int) -> tuple[Tensor, Tensor] | None:
        """What a learned decoder is given beside the returned maps; None where there is nothing to unmix.

        Returns:
            One-hot (or weighted) labels of what was mixed in, float32 [views, N, C, *patch], and the target's mixing
            weights, float64 [views, N].
        """
        return None

    def assemble(self, maps: Tensor, key: Key) -> Tensor:
        """Put decoded maps [N, C, *patch] together to [C, X, Y, Z]; by default there is one, of the whole volume."""
        return maps[0]

    def bystanders(self, key: Key, views: int) -> Tensor | None:
        """What others' images were mixed in, float32 [views, N, *patch]; None where the scheme mixes nobody in."""
        return None

    def owners(self, key: Key) -> tuple[int, ...]:
        """Whose images are in the first view: indices into the pool, without repeats; empty where nobody's are.

        Their owners are victims too, and figures about them are clustered by owner.
        """
        return ()

    def drawn(self, key: Key) -> Draw | None:
        """All that was drawn at random, for an audit of keys; None where the scheme mixes nobody in."""
        return None

    @property
    def alpha_range(self) -> tuple[float, float] | None:
        """Between which ends mixing weights are declared to be uniform; None where nothing is declared."""
        return None

    def spent(self, key: Key) -> tuple[int, ...]:
        """Whose images are in any view: indices into the pool, without repeats."""
        draw = self.drawn(key)
        return self.owners(key) if draw is None else tuple(int(index) for index in np.unique(draw.subjects))

    def weights(self, key: Key) -> NDArray[np.float64] | None:
        """The target's mixing weights [V, N]; None where the scheme has none."""
        return None
