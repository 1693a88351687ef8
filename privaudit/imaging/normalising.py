"""Encoders that normalise each image before a linear map, or what it gives: what an attacker does who chooses images.

A normalisation makes a linear encoder non-linear in the image. Where it is known, its scale is multiplied back; images
whose least and greatest voxel the attacker fixes are not changed by one that looks at those.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from privaudit.imaging.probing import STEP, Floats, Send, departs, inward, root_mean_square

LEAST: Final = 1e-12
"""Standard deviation of numbers that are all equal."""
PLACES: Final = 25
"""Parts of an image, a third of each side, that are changed to see what its mean does."""
TISSUE: Final = 0.02
"""Value of the base image from which a voxel is taken for tissue, which is never 0 in what is sent."""


@dataclass(frozen=True, eq=False)
class Undone:
    """A normalisation, and how it is undone: numbers become linear in the image, if it is this one.

    Attributes:
        name: in words; '' for none.
        shown: the image [X, Y, Z] that is sent in place of an image.
        size: by what an image is divided.
        centre: what is sent of nothing, [m] or 0.
        share: what a mean of 1 adds to the numbers, [m] or 0.
        base: size and mean of the base image, which stand for somebody else's.
    """

    name: str = ""
    shown: Callable[[Floats], Floats] = lambda image: image
    size: Callable[[Floats], float] = lambda image: 1.0
    centre: Floats | float = 0.0
    share: Floats | float = 0.0
    base: tuple[float, float] = 1.0, 0.0

    def through(self, send: Send) -> Send:
        """An encoder without its normalisation."""

        def whole(image: Floats) -> Floats:
            sent = send(self.shown(image))
            return np.asarray(self.size(image) * (sent - self.centre) + float(image.mean()) * self.share)

        return whole if self.name else send

    def seen(self, sent: Floats) -> Floats:
        """What somebody sent, [m], in the same units."""
        size, mean = self.base
        return np.asarray(size * (sent - self.centre) + mean * self.share)


@dataclass(frozen=True, eq=False)
class Standard:
    """Numbers [m] less their mean, over their standard deviation, with the sign that makes them most like others."""

    like: Floats

    def __call__(self, sent: Floats) -> Floats:
        """Gain, sign and offset of all numbers are nothing to what it gives."""
        apart = sent - sent.mean()
        return np.asarray(apart * (np.sign(float(apart @ self.like)) / max(float(apart.std()), LEAST)))


def standardised(send: Send, base: Floats) -> tuple[Send, Standard]:
    """An encoder whose numbers are read so, with the sign of those of a base image; and how to read others'."""
    standard = Standard(send(base))
    return lambda image: standard(send(image)), standard


def undone(send: Send, base: Floats, rng: np.random.Generator, exact: float, signed: bool) -> tuple[Undone, float]:
    """The normalisation, of several, without which an encoder is most nearly linear; or none.

    Args:
        send: the encoder.
        base: an image [X, Y, Z] in [0, 1].
        rng: of changes.
        exact: departure from linearity below which nothing is undone.
        signed: whether the numbers' sign tells something; else there is nothing in them that no image changes.

    Returns:
        It, and by how much the rest departs from a linear map (:func:`~privaudit.imaging.probing.departs`).
    """
    best = Undone()
    least = departs(send, base, rng)
    if least <= exact:
        return best, least
    everywhere, tissue = np.ones(base.shape, dtype=bool), base > TISSUE

    def scaled(name: str, of: Callable[[Floats], float], where: NDArray[np.bool_], centred: bool) -> Undone:
        """Divided by the size of the image somewhere; elsewhere it is 0. A negative's numbers are negative, too."""

        def shown(image: Floats) -> Floats:
            return np.where(where, image, 0.0)

        centre = (send(shown(base)) + send(shown(1 - base))) / 2 if centred else 0.0
        return Undone(name, shown, lambda image: float(of(image[where])), centre, 0.0, (float(of(base[where])), 0.0))

    for candidate in (
        Undone("least and greatest value", _pinned(base)),
        scaled("mean and standard deviation", np.std, everywhere, centred=signed),
        scaled("mean and standard deviation of tissue", np.std, tissue, centred=signed),
        scaled("length", root_mean_square, everywhere, centred=False),
        scaled("mean", np.mean, everywhere, centred=False),
    ):
        apart = departs(candidate.through(send), base, rng)
        if apart < least / 2:
            best, least = candidate, apart
    return (_levelled(best, send, base, rng) if "mean and" in best.name else best), least


def _pinned(base: Floats) -> Callable[[Floats], Floats]:
    """Images whose least voxel is 0 and whose greatest one is 1, always the same two."""
    low, high = int(base.argmin()), int(base.argmax())

    def shown(image: Floats) -> Floats:
        image = image.copy()
        image.flat[low], image.flat[high] = 0.0, 1.0
        return image

    return shown


def _levelled(found: Undone, send: Send, base: Floats, rng: np.random.Generator) -> Undone:
    """With the mean put back: without, every voxel reaches every number, as each lowers the others.

    What the mean adds to a number is the median over parts of the image of what a change there takes from it: most do
    not reach it otherwise.
    """
    opened, taken = found.through(send), []
    nothing = opened(base)
    for _ in range(PLACES):
        probe, sides = base.copy(), [max(1, side // 3) for side in base.shape]
        corner = [int(rng.integers(whole - part + 1)) for whole, part in zip(base.shape, sides, strict=True)]
        box = tuple(slice(at, at + part) for at, part in zip(corner, sides, strict=True))
        probe[box] += STEP * inward(base[box])
        taken.append((nothing - opened(probe)) / (probe - base).mean())
    return replace(found, share=np.median(taken, axis=0), base=(found.base[0], float(base.mean())))
