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
PLACES: Final = 15
"""Where an image is changed to see what its mean does."""
SIDE: Final = 4
"""Side in voxels of each of those places."""
TISSUE: Final = 0.02
"""Value of the base image from which a voxel is taken for tissue, which is never 0 in what is sent."""


@dataclass(frozen=True, eq=False)
class Undone:
    """An encoder whose normalisation is undone.

    Attributes:
        name: of the normalisation, in words; '' for none.
        send: from an image [X, Y, Z] to numbers [m] that are linear in it, if it is this normalisation.
        centre: what is sent of nothing, [m] or 0.
        size: scale of the base image, for that of somebody else's.
        level: what the base image's mean adds, [m] or 0.
    """

    name: str
    send: Send
    centre: Floats | float = 0.0
    size: float = 1.0
    level: Floats | float = 0.0

    def seen(self, sent: Floats) -> Floats:
        """What somebody sent, [m], in the units of :attr:`send`; scale and mean are taken to be the base image's."""
        return np.asarray(self.size * (sent - self.centre) + self.level)


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


def undone(send: Send, base: Floats, rng: np.random.Generator, exact: float) -> tuple[Undone, float]:
    """An encoder without its normalisation, of several the one after which it is most nearly linear; or as it is.

    Args:
        send: the encoder.
        base: an image [X, Y, Z] in [0, 1].
        rng: of changes.
        exact: departure from linearity below which nothing is undone.

    Returns:
        It, and by how much it departs from a linear map (:func:`~privaudit.imaging.probing.departs`).
    """
    best = Undone("", send)
    least = departs(send, base, rng)
    if least <= exact:
        return best, least
    for candidate in (
        _pinned(send, base),
        _scaled(send, base, "mean and standard deviation", np.std, base > -1, centred=True),
        _scaled(send, base, "mean and standard deviation of tissue", np.std, base > TISSUE, centred=True),
        _scaled(send, base, "length", root_mean_square, base > -1, centred=False),
        _scaled(send, base, "mean", np.mean, base > -1, centred=False),
    ):
        apart = departs(candidate.send, base, rng)
        if apart < least / 2:
            best, least = candidate, apart
    return (_levelled(best, base, rng) if "mean and" in best.name else best), least


def _levelled(opened: Undone, base: Floats, rng: np.random.Generator) -> Undone:
    """With the mean put back: without, every voxel reaches every number, as each lowers the others.

    What the mean adds to a number is the median over places of what a change there takes from it: most do not reach it.
    """
    nothing, taken = opened.send(base), []
    for _ in range(PLACES):
        probe, corner = base.copy(), [int(rng.integers(max(1, side - SIDE))) for side in base.shape]
        box = tuple(slice(at, at + SIDE) for at in corner)
        probe[box] += STEP * inward(base[box])
        taken.append((nothing - opened.send(probe)) / (probe - base).mean())
    share = np.median(taken, axis=0)

    def whole(image: Floats) -> Floats:
        return np.asarray(opened.send(image) + image.mean() * share)

    return replace(opened, send=whole, level=base.mean() * share)


def _pinned(send: Send, base: Floats) -> Undone:
    """Images whose least voxel is 0 and whose greatest one is 1, always the same two."""
    low, high = int(base.argmin()), int(base.argmax())

    def fixed(image: Floats) -> Floats:
        image = image.copy()
        image.flat[low], image.flat[high] = 0.0, 1.0
        return send(image)

    return Undone("least and greatest value", fixed)


def _scaled(
    send: Send, base: Floats, name: str, size: Callable[[Floats], float], where: NDArray[np.bool_], centred: bool
) -> Undone:
    """Numbers times the size of the image where the normalisation looks; elsewhere the image is 0.

    With ``centred``, the negative of an image is sent as the negative of what is sent of it, around the centre.
    """

    def inside(image: Floats) -> Floats:
        return np.where(where, image, 0.0)

    centre = (send(inside(base)) + send(inside(1 - base))) / 2 if centred else np.zeros(1)

    def whole(image: Floats) -> Floats:
        return np.asarray(float(size(image[where])) * (send(inside(image)) - centre))

    return Undone(name, whole, centre, float(size(base[where])))
