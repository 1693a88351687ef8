"""The contract of a scheme, checked on one request before work starts: what is wrong is one line with class and method.

Later requests are checked by :func:`check_sent` alone.
"""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import numpy as np
import torch
from torch import Tensor

from privaudit.contracts.arrays import ArrayDefense
from privaudit.contracts.defense import Defense, Encoded, Key
from privaudit.errors import PluginError, PrivauditError
from privaudit.imaging.patches import as_tensor, one_hot

if TYPE_CHECKING:
    from privaudit.auditing.scene import Scene

T = TypeVar("T")
MOST_PATCHES: Final = 20_000
"""Of a view. Attacks take patches one by one: more of them are a night's work, and nobody would see why."""
LONGEST: Final = 300
"""Characters of another's message that are shown."""


def check_contract(scene: Scene) -> None:
    """Let a scheme encode, answer and decode the first request.

    Raises:
        PluginError: it fails, or what it returns is not what the contract says.
    """
    request, defense = scene.requests[0], scene.defense
    volume = scene.truth(request)
    image, labels = as_tensor(volume.image), one_hot(volume.labels, scene.classes)
    key = _call(scene, "draw_key", lambda: scene.draw_key(request))
    if not isinstance(key, Key):
        raise _wrong(defense, "draw_key", type(key).__name__, "a privaudit.Key")
    sent = _call(scene, "encode", lambda: defense.encode(image, key, defense.views))
    _check_encoded(defense, sent)
    if len(sent.views) < defense.views:  # how many there are may be known only now
        sent = _call(scene, "encode", lambda: defense.encode(image, key, defense.views))
    if len(sent.views) != defense.views:
        raise _wrong(defense, "encode", f"{len(sent.views)} views", f"{defense.views}, as its property 'views' says")
    check_sent(defense, sent)
    scene.form = check_form(defense, sent, ())
    shape = tuple(image.shape)
    _check_covered(defense, sent, shape)
    if not defense.answers:
        return
    wanted = (1, *sent.views.shape[1:2], len(labels), *sent.views.shape[2:])
    returned = _call(scene, "respond", lambda: defense.respond(labels, key, 1))
    _check_tensor(defense, "respond", returned, None if sent.sent is not None else wanted)
    decoded = _call(scene, "decode", lambda: defense.decode(returned, key))
    _check_tensor(defense, "decode", decoded, tuple(labels.shape))


def check_sent(defense: Defense, sent: Encoded) -> None:
    """Refuse what cannot be attacked.

    Raises:
        PluginError: values that are not finite.
    """
    values = sent.views if sent.sent is None else sent.sent
    if not math.isfinite(float(sent.views.sum()) + float(values.sum())):
        raise PluginError(f"defense '{defense.name}' sends values that are not finite", todo="mend its encode")


def check_form(defense: Defense, sent: Encoded, form: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of one view; that of every scan must be equal.

    Raises:
        PluginError: it is not the one that was sent before.
    """
    found = tuple((sent.views if sent.sent is None else sent.sent).shape[1:])
    if form and found != form:
        raise PluginError(
            f"defense '{defense.name}' sends other shapes for other scans", got=f"{form} and {found}",
            allowed="one shape for all scans", todo="pad what is sent",
        )  # fmt: skip
    return found


def _call(scene: Scene, method: str, call: Callable[[], T]) -> T:
    """Call a method of the scheme; whatever it raises is one line that says where."""
    try:
        return call()
    except PrivauditError:
        raise
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        inner = [frame for frame in frames if Path(frame.filename) not in _OURS]
        at = f" ({Path(inner[-1].filename).name}, line {inner[-1].lineno})" if inner else ""
        text = " ".join(str(error).split())[:LONGEST]
        # A message may hold names of files, and those names of people.
        if "/" in text or "\\" in text or any(subject in text for subject in scene.cohort.subjects):
            text = text if scene.cohort.shareable else "its message may name people, and is left out"
        raise PluginError(
            f"{scene.defense.called(method)} failed on the first scan{at}: {type(error).__name__}: {text}",
            todo=_hint(error, scene.defense),
        ) from error


_OURS: Final = {Path(__file__), Path(__file__).with_name("scene.py")}


def _hint(error: BaseException, defense: Defense) -> str | None:
    """What may help."""
    if isinstance(error, SystemExit):
        return "let it raise an error where something is wrong"
    if isinstance(error, NotImplementedError):
        return "write this method; docs/writing-plugins.md says what each is for"
    if isinstance(error, TypeError | AttributeError) and isinstance(defense, ArrayDefense):
        return "it is given NumPy arrays"
    if isinstance(error, TypeError | AttributeError):
        return "it is given torch tensors; a scheme that speaks NumPy derives from privaudit.ArrayDefense"
    return None


def _wrong(defense: Defense, method: str, got: object, allowed: object) -> PluginError:
    return PluginError(f"{defense.called(method)} returned something else", got=got, allowed=allowed)


def _check_encoded(defense: Defense, sent: Any) -> None:
    if not isinstance(sent, Encoded):
        todo = "; an encoder of NumPy arrays derives from privaudit.ArrayDefense"
        raise _wrong(defense, "encode", type(sent).__name__, f"privaudit.Encoded(views, positions){todo}")
    if not isinstance(sent.views, Tensor) or sent.views.dtype != torch.float32 or sent.views.ndim != 5:
        raise _wrong(defense, "encode", f"views: {_described(sent.views)}", "float32 tensor [views, N, x, y, z]")
    places: Any = sent.positions
    if not (isinstance(places, np.ndarray) and places.dtype == np.int64 and places.shape == (sent.views.shape[1], 3)):
        raise _wrong(defense, "encode", f"positions: {_described(places)}", f"int64 array [{sent.views.shape[1]}, 3]")
    if len(places) > MOST_PATCHES:
        raise _wrong(
            defense, "encode", f"{len(places)} patches a view",
            f"at most {MOST_PATCHES}; send larger patches, or the whole as one",
        )  # fmt: skip
    if sent.sent is not None and (sent.sent.dtype != torch.float32 or len(sent.sent) != len(sent.views)):
        raise _wrong(defense, "encode", f"sent: {_described(sent.sent)}", "float32 tensor [views, ...]")


def _check_covered(defense: Defense, sent: Encoded, shape: tuple[int, ...]) -> None:
    ends = sent.positions + np.array(sent.views.shape[2:])
    if (sent.positions < 0).any() or (ends > np.array(shape)).any():
        raise _wrong(defense, "encode", "positions of patches outside of the volume", f"corners within {shape}")


def _check_tensor(defense: Defense, method: str, found: Any, wanted: tuple[int, ...] | None) -> None:
    good = isinstance(found, Tensor) and found.is_floating_point()
    if not good or (wanted is not None and tuple(found.shape) != wanted):
        raise _wrong(defense, method, _described(found), f"float tensor {list(wanted or [])}")
    if not bool(torch.isfinite(found).all()):
        raise _wrong(defense, method, "values that are not finite", "finite ones")


def _described(found: Any) -> str:
    if isinstance(found, Tensor | np.ndarray):
        return f"{type(found).__name__} of {found.dtype}, shape {tuple(found.shape)}"
    return type(found).__name__
