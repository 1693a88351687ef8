"""A scene whose transcripts are captured bytes: what was sent, not what a library says it sends."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.auditing.scene import Scene
from privaudit.contracts.cohort import Cohort, Split
from privaudit.contracts.defense import Defense, Encoded, Key
from privaudit.contracts.transcript import Transcript
from privaudit.errors import DataError
from privaudit.imaging.patches import as_tensor, cut
from privaudit.scoring.arms import Arm
from privaudit.traffic.account import Known, Leak, account
from privaudit.traffic.flows import Flow
from privaudit.traffic.grouping import Group, group
from privaudit.traffic.reading import Traffic
from privaudit.wire.messages import Array, WireError

RAW: Final = 0.99
"""Correlation from which a patch is the raw image's."""


@dataclass(frozen=True, eq=False)
class Captured:
    """Traffic that was told apart: whose scan each group is, patches' places, and all that left beside patches."""

    groups: Mapping[str, Group]
    positions: NDArray[np.int64]
    leaks: list[Leak]


class WireScene(Scene):
    """A scene that hands attacks what was captured: patches, their order, and the maps that came back.

    The grid is the scheme's, which anybody knows; where a scan lay in the scanner was not sent, and is not told.

    Args:
        cohort: whose scans the real client sent.
        split: as in the audit that sent them.
        defense: as there.
        seed: as there: the keys follow from it, and every patch that left is compared with what its key makes.
        traffic: what was captured.
        secret: as there.
    """

    def __init__(
        self, cohort: Cohort, split: Split, defense: Defense, seed: int, traffic: Traffic, secret: bytes = b""
    ) -> None:
        super().__init__(cohort, split, defense, seed, secret)
        self.source, self._traffic = traffic.digest, traffic
        self._captured: Captured | None = None

    @property
    def captured(self) -> Captured:
        """The traffic, told apart; done once.

        Raises:
            TrafficError: no scan of this scheme was captured.
            DataError: a scan of the audit was not.
        """
        if self._captured is None:
            self._captured = tell_apart(self, self._traffic)
        return self._captured

    @property
    def leaks(self) -> tuple[str, ...]:
        """What left beside encoded patches, a sentence each; names of people are not among the words."""
        return tuple(f"{leak.kind} ({leak.where})" for leak in self.captured.leaks)

    @property
    def told(self) -> tuple[str, ...]:
        """What a reader of the record must know."""
        count, found = sum(flow.infers for flow in self._traffic.flows), self.leaks
        origin = f"transcripts are bytes captured on the wire: {count} requests (file {self.source})"
        return (origin, *(f"what left beside encoded patches: {leak}" for leak in found))

    def place_of(self, flow: Flow) -> int:
        """Where a request stands in what was captured, from 0."""
        return next(n for n, other in enumerate(self._traffic.flows) if other.body is flow.body)

    def made(self, request: str, key_of: str | None = None) -> Encoded:
        """What the scheme makes of a request, with its own key or with another's."""
        image = as_tensor(self.truth(request).image)
        return self.defense.encode(image, self.draw_key(key_of or request), self.defense.views)

    def _encode(self, request: str, key: Key, views: int) -> Encoded:
        captured = self.captured
        return Encoded(torch.tensor(captured.groups[request].views[:views]), captured.positions.copy())

    def _serve(self, request: str, key: Key, views: int) -> Tensor:
        served = self.captured.groups[request].served
        return super()._serve(request, key, views) if served is None else torch.tensor(served[:views])

    def transcript(
        self, request: str, *, views: int = 1, arm: Arm = "audit", returned: bool = False, served: bool = False
    ) -> Transcript:
        """As captured, on a grid that starts anywhere."""
        found = super().transcript(request, views=views, arm=arm, returned=returned, served=served)
        return replace(found, affine=np.diag([*(self.cohort.voxel_mm,) * 3, 1.0]))


def tell_apart(scene: WireScene, traffic: Traffic) -> Captured:
    """Say whose each group is, and name what else left.

    Raises:
        TrafficError: no scan of this scheme was captured.
        DataError: a scan of the audit was not.
    """
    first = scene.made(scene.requests[0])
    grouping = group(traffic.flows, first.views.shape[1], first.views.shape[0])
    scans = [scan for victim in scene.split.victims for scan in scene.cohort.sessions_of(victim)]
    affines = {scene.truth(request).affine.tobytes(): scene.truth(request).affine for request in scene.requests[:64]}
    known = Known(tuple(sorted({scan.subject for scan in scans})), tuple(affines.values()))
    leaks = account(traffic.flows, known)
    named: dict[str, Group] = {}
    waiting = {_digest(found.views): found for found in grouping.groups}
    for request in scene.requests:
        made = scene.made(request).views.numpy()
        for sent in (made, made.astype(np.float16).astype(np.float32)):
            if _digest(sent) in waiting and request not in named:
                named[request] = waiting.pop(_digest(sent))
    for found in waiting.values():
        leaks.append(_explain(scene, found, named, first))
    leaks += _stray(scene, grouping.left, first)
    if missing := len(set(scene.requests) - named.keys()):
        raise DataError(
            f"{missing} of the {len(scene.requests)} scans of this audit were not captured whole",
            todo="capture with the dataset, the defense, their options and the seed of the audit",
        )
    return Captured(named, first.positions, leaks)


def _explain(scene: WireScene, found: Group, named: dict[str, Group], first: Encoded) -> Leak:
    """A group that no key of the audit makes: whose it is (it is noted), and what was done."""
    raw = {request: _raw(scene, request, first) for request in scene.requests if request not in named}
    where = f"{len(found.flows)} requests from {_shown(found.flows[0], scene)}"
    if not raw:
        return Leak("patches that are nobody's key's: a scan was sent once more", where)
    alike = {request: _correlation(found.views.mean(axis=0), image) for request, image in raw.items()}
    request = max(alike, key=alike.__getitem__)
    named[request] = found
    if alike[request] > RAW:
        return Leak("the raw image", f"{where}: {request}")
    sent = _digest(found.views)
    for other in scene.requests:
        for target in raw:
            if other != target and _digest(scene.made(target, other).views.numpy()) == sent:
                del named[request]
                named[target] = found
                return Leak("a key that was used before", f"{where}: {target}, with the key of {other}")
    return Leak("patches that are not what the scan's key makes", f"{where}: probably {request}")


def _stray(scene: WireScene, left: Iterable[Flow], first: Encoded) -> list[Leak]:
    """Patches of no whole scan: they may be a scan's that was broken off, or hold the raw image."""
    found = []
    raw: list[Array] | None = None
    for flow in left:
        try:
            arrays = flow.request().arrays
        except WireError:
            continue  # the account names it
        raw = raw if raw is not None else [_raw(scene, request, first) for request in scene.requests]
        for array in arrays.values():
            patches = np.squeeze(array).astype(np.float32)
            whole = [image for image in raw for image in (image, *image) if image.shape == patches.shape]
            kind = "patches of no whole scan"
            if any(_correlation(patches, image) > RAW for image in whole):
                kind = "the raw image"
            found.append(Leak(kind, _shown(flow, scene)))
    return found


def _raw(scene: WireScene, request: str, first: Encoded) -> Array:
    size = first.views.shape[-3:]
    return cut(as_tensor(scene.truth(request).image), first.positions, (size[0], size[1], size[2])).numpy()


def _correlation(one: Array, other: Array) -> float:
    if one.shape != other.shape or not one.std() or not other.std():
        return 0.0
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


def _digest(views: Array) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(views, np.float32).tobytes()).digest()


def _shown(flow: Flow, scene: WireScene) -> str:
    return f"request {1 + scene.place_of(flow)}"
