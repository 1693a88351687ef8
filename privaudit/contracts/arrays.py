"""Schemes that speak NumPy: what is sent may have any shape that NumPy holds.

:class:`ArrayDefense` turns arrays into what every attack reads; :func:`function_defense` makes one of a function.
"""

from __future__ import annotations

import hashlib
import inspect
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.contracts.cohort import Volume, mark
from privaudit.contracts.defense import Defense, Encoded, Key
from privaudit.errors import PluginError
from privaudit.imaging.off_grid import as_image
from privaudit.imaging.patches import Shape

Array = NDArray[Any]
LARGEST: Final = 2**31
"""Bytes that the views of one scan may take."""
ALLOWED: Final = "an array of numbers, or a list of arrays of equal shape, one for each view that is sent"


@dataclass(frozen=True, repr=False)
class ArrayKey(Key):
    """The secret of one scan: a seed of 63 bits, which every command can take."""

    seed: int

    def rng(self, view: int | None = None) -> np.random.Generator:
        """A generator; the same each time. Where views are encoded one by one, each has one of its own."""
        return np.random.default_rng([self.seed] if view is None else [self.seed, view])


class ArrayDefense(Defense):
    """A scheme that is written with NumPy: :meth:`encode_array` is all that it needs.

    What it returns may have the image's shape, or any other: other sizes, channels, vectors. A list is a list of
    views, all of which are sent. Whole numbers without a sign are divided by the largest of their type (255, 65535).
    """

    count: ClassVar[int] = 1
    """How many views are sent, each encoded by a call of its own. A list that is returned is counted by itself."""

    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self._listed: int | None = None

    def encode_array(self, image: Array, rng: np.random.Generator, scan: str) -> Array | Sequence[Array]:
        """Encode one scan.

        Args:
            image: float32 [X, Y, Z], intensities in [0, 1]; a copy, which may be written on.
            rng: the source of everything secret; draw nothing from anywhere else.
            scan: an opaque id of the scan; equal scans have equal ids.
        """
        raise NotImplementedError

    def image_of(self, sent: Array, shape: Shape) -> Array | None:
        """What was sent, as an image of this shape, where it has another; None to have it resampled."""
        return None

    @property
    def views(self) -> int:
        """As many as are sent."""
        return self.count if self._listed is None else self._listed

    @property
    def alike(self) -> bool:
        """Views that are encoded by a call of their own are; those of a list may be anything."""
        return self._listed in (None, 1)

    def draw_key(self, shape: Shape, pool: Sequence[Volume], rng: random.Random) -> Key:
        """A fresh seed."""
        return ArrayKey(rng.getrandbits(63))

    def encode(self, image: Tensor, key: Key, views: int) -> Encoded:
        """The arrays, as every attack reads them."""
        assert isinstance(key, ArrayKey)
        shape: Shape = (image.shape[0], image.shape[1], image.shape[2])
        scan = mark(image.numpy())
        if self.count > 1:
            found = [self.encode_array(image.numpy().copy(), key.rng(view), scan) for view in range(views)]
        else:
            made = self.encode_array(image.numpy().copy(), key.rng(), scan)
            found = list(made) if isinstance(made, list | tuple) else [made]
            self._listed = len(found)
        sent = torch.stack(numbers(found[:views], f"{type(self).__name__}.encode_array"))
        return pack(self, sent, shape)

    def as_image(self, sent: Tensor, shape: Shape) -> Tensor | None:
        """As :meth:`image_of` says."""
        if type(self).image_of is ArrayDefense.image_of:
            return None
        found = self.image_of(sent.numpy().copy(), shape)
        if found is None:
            return None
        image = numbers([found], f"{type(self).__name__}.image_of")[0]
        if tuple(image.shape) != shape:
            raise PluginError(f"{type(self).__name__}.image_of", got=f"shape {tuple(image.shape)}", allowed=shape)
        return image


def numbers(found: Sequence[Any], who: str) -> list[Tensor]:
    """Arrays as float32 tensors of one shape, each a copy; real and imaginary parts of complex ones become channels.

    Raises:
        PluginError: one holds no numbers, or some that are not finite, or shapes differ, or there is too much of it.
    """
    arrays = []
    for item in found:
        try:
            array = item.detach().cpu().numpy() if isinstance(item, Tensor) else np.asarray(item)
        except Exception as error:  # ragged lists, exotic objects
            raise PluginError(f"{who} returned no array", got=type(item).__name__, allowed=ALLOWED) from error
        if array.dtype.kind not in "biufc" or not array.size:
            what = f"{type(item).__name__} of {array.dtype}, shape {array.shape}"
            raise PluginError(f"{who} returned no array of numbers", got=what, allowed=ALLOWED)
        arrays.append(array)
    size = sum(array.size * 4 for array in arrays)
    if not arrays or len({array.shape for array in arrays}) > 1:
        raise PluginError(f"{who} returned views of different shapes", got=[a.shape for a in arrays], allowed=ALLOWED)
    if size > LARGEST:
        raise PluginError(
            f"{who} returned too much for one scan", got=f"{size / 2**30:.1f} GiB", allowed=f"{LARGEST / 2**30:.0f} GiB"
        )
    return [_floats(array, who) for array in arrays]


def _floats(array: Array, who: str) -> Tensor:
    if array.dtype.kind == "c":
        array = np.stack([array.real, array.imag])
    if array.dtype.kind == "u":
        array = array / np.iinfo(array.dtype).max
    with np.errstate(over="ignore"):
        out = torch.from_numpy(np.array(array, dtype=np.float32, order="C"))
    if bad := int((~torch.isfinite(out)).sum()):
        raise PluginError(
            f"{who} returned values that are not finite in float32",
            got=f"{bad} of {out.numel()} are NaN, infinite, or beyond 3.4e38", todo="mend it, for every scan",
        )  # fmt: skip
    return out if out.ndim else out[None]


def pack(defense: Defense, sent: Tensor, shape: Shape) -> Encoded:
    """Views [V, *any] as attacks read them: on the image's grid as they are, else with an image of each.

    Args:
        defense: which may have an image of its own to show.
        sent: float32 [V, *any].
        shape: of the image.
    """
    corner = np.zeros((1, 3), dtype=np.int64)
    if tuple(sent.shape[1:]) == shape:
        return Encoded(sent[:, None], corner)
    images = torch.stack([shown(defense, view, shape) for view in sent])
    return Encoded(images[:, None], corner, sent)


def shown(defense: Defense, sent: Tensor, shape: Shape) -> Tensor:
    """One view of any shape as an image: as the scheme says, else resampled."""
    own = defense.as_image(sent, shape)
    return as_image(sent, shape) if own is None else own.float()


def function_defense(
    encode: Callable[..., Any], *, views: int = 1, respond: Callable[..., Any] | None = None,
    decode: Callable[..., Any] | None = None, image_of: Callable[..., Any] | None = None,
) -> type[ArrayDefense]:  # fmt: skip
    """A class of a function ``encode(image, rng)``; where it takes a third argument, that is the scan's opaque id.

    Args:
        encode: as :meth:`ArrayDefense.encode_array`.
        views: how often it is called for each scan.
        respond: what an error-free server sends back, of one-hot labels [C, X, Y, Z] and the generator of the scan.
        decode: from that to maps [C, X, Y, Z], with the generator of the scan.
        image_of: what was sent, as an image: ``image_of(sent, shape)``.
    """
    from privaudit.contracts.references import kebab

    with_scan, called = _takes(encode, 3), getattr(encode, "__name__", type(encode).__name__)
    called = called if called.isidentifier() else "encode"  # a lambda
    members: dict[str, Any] = {
        "__module__": encode.__module__,
        "__doc__": encode.__doc__ or f"The function ``{called}``.",
        "name": kebab(called),
        "summary": f"the function {called}",
        "count": views,
        "called": classmethod(lambda cls, method: f"the function '{called}'" if method == "encode" else method),
        "digest": property(lambda self: function_digest(encode, respond, decode, image_of)),
        "encode_array": lambda self, image, rng, scan: encode(image, rng, *([scan] if with_scan else [])),
    }
    if image_of is not None:
        members["image_of"] = lambda self, sent, shape: image_of(sent, shape)
    if respond is not None and decode is not None:
        members["respond"] = lambda self, labels, key, count: _maps(respond, labels, key, count, views)
        members["decode"] = lambda self, returned, key: _decoded(decode, returned, key)
    return type(called, (ArrayDefense,), members)


def _maps(respond: Callable[..., Any], labels: Tensor, key: ArrayKey, count: int, views: int) -> Tensor:
    rngs = [key.rng(view) for view in range(count)] if views > 1 else [key.rng() for _ in range(count)]
    found = [respond(labels.numpy().copy(), rng) for rng in rngs]
    return torch.stack(numbers(found, f"{respond.__name__}"))[:, None]


def _decoded(decode: Callable[..., Any], returned: Tensor, key: ArrayKey) -> Tensor:
    return numbers([decode(returned[0, 0].numpy().copy(), key.rng())], decode.__name__)[0]


def _takes(function: Callable[..., Any], count: int) -> bool:
    """Whether a function can be called with so many arguments."""
    try:
        inspect.signature(function).bind(*range(count))
    except (TypeError, ValueError):
        return False
    return True


def function_digest(*functions: Callable[..., Any] | None) -> str:
    """Twelve hex digits of the source of functions, or of what they were compiled to."""
    hasher = hashlib.sha256()
    for function in functions:
        try:
            hasher.update(b"" if function is None else inspect.getsource(function).encode())
        except (OSError, TypeError):
            code = getattr(function, "__code__", None)
            hasher.update(repr(function).encode() if code is None else code.co_code + repr(code.co_consts).encode())
    return hasher.hexdigest()[:12]
