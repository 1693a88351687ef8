"""Digests of what a scheme really sends: its weights, data and packages may change where no hash of code sees it."""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from privaudit.contracts.defense import Encoded
from privaudit.contracts.transcript import Transcript
from privaudit.errors import DataError, OptionError, PluginError
from privaudit.imaging.patches import as_tensor, one_hot

if TYPE_CHECKING:
    from privaudit.auditing.scene import Scene


def encodings_of(scene: Scene) -> str:
    """Digest of what a scheme sends and returns; taken once."""
    return scene.encodings or look_again(scene)


def look_again(scene: Scene) -> str:
    """Take the digest anew, of the first and the last request.

    Every view is encoded, answered and decoded. All is done twice, with keys that must be equal. One thread
    does it: the last digits of a network's sums depend on how many there are, and workers have fewer.

    Args:
        scene: of the audit; encodings that it holds are dropped if the digest has changed.

    Returns:
        Twelve hex digits.

    Raises:
        PluginError: the scheme sends or returns something else the second time.
    """
    threads, hasher = torch.get_num_threads(), hashlib.sha256()
    torch.set_num_threads(1)
    try:
        for request in dict.fromkeys((scene.requests[0], scene.requests[-1])):
            first, second = _seen(scene, request), _seen(scene, request)
            if first != second:
                raise PluginError(
                    f"defense '{scene.defense.name}' was given one scan and equal keys twice",
                    got="two different results",
                    allowed="the same result",
                    todo="draw everything random in draw_key, from the generator that it is given",
                )
            hasher.update((first + scene.source).encode())
    finally:
        torch.set_num_threads(threads)
    found = hasher.hexdigest()[:12]
    if found != scene.encodings:
        scene.forget()
        scene.encodings = found
    return found


def _seen(scene: Scene, request: str) -> str:
    """Digest of one request's transcript and of its decoded answer; a scheme that fails has the failure's name.

    Every job of such a scheme fails again, and says why.
    """
    volume, defense = scene.truth(request), scene.defense
    try:
        key, started = scene.draw_key(request), time.perf_counter()
        sent = defense.encode(as_tensor(volume.image), key, defense.views)
        scene.seconds_per_scan = time.perf_counter() - started
        if not defense.answers:
            return _transcript(scene, request, sent).digest()
        returned = defense.respond(one_hot(volume.labels, scene.classes), key, defense.views)
        decoded = defense.decode(returned, key)
        digest = replace(_transcript(scene, request, sent), returned=returned).digest()
        return digest + hashlib.sha256(decoded.contiguous().numpy().tobytes()).hexdigest()
    except (DataError, OptionError):
        raise
    except Exception as error:
        return type(error).__name__


def first_sent(scene: Scene) -> str:
    """Digest of what is sent for the first request, encoded anew: no attack may change it."""
    request = scene.requests[0]
    sent = scene.defense.encode(as_tensor(scene.truth(request).image), scene.draw_key(request), 1)
    return _transcript(scene, request, sent).digest()


def _transcript(scene: Scene, request: str, sent: Encoded) -> Transcript:
    return Transcript(request, sent.views, sent.positions, scene.cohort.shape, np.eye(4), sent=sent.sent)
