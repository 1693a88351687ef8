"""The transcript: all that a server, or a wire-tapper, sees of one request."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.imaging.patches import Shape, cut, grid_positions, stitch


@dataclass(frozen=True, eq=False)
class Transcript:
    """What is sent for one scan, and what comes back.

    Attributes:
        request: an opaque name; it tells nothing about the person.
        views: float32 [V, N, *patch], the encoded patches of V views of one target (test-time augmentation sends
            several; without the 'views' rung there is one, without the 'transcript' rung none).
        positions: int64 [N, 3], each patch's corner in the volume.
        shape: the volume, in voxels.
        affine: float64 [4, 4], voxel to world in millimetres.
        returned: float32 [V, N, C, *patch], the maps an error-free server sends back; None without the 'returned' rung.
        served: the same of the trained server network, probabilities; None without the 'served' rung.
        sent: float32 [V, *any], what is really sent where that is not on the image's grid; ``views`` then show it as
            images, and may lose some of it. None where ``views`` are what is sent.
    """

    request: str
    views: Tensor
    positions: NDArray[np.int64]
    shape: Shape
    affine: NDArray[np.float64]
    returned: Tensor | None = None
    served: Tensor | None = None
    sent: Tensor | None = None

    @property
    def whole(self) -> Tensor:
        """All that is sent, in its own shape: float32 [V, …]."""
        return self.views if self.sent is None else self.sent

    def values(self) -> Tensor:
        """All that is sent, whatever its shape: float32 [V, n]."""
        return self.whole.flatten(1)

    def stitched(self, view: int = 0) -> Tensor:
        """One view as a volume [X, Y, Z], overlaps averaged."""
        return stitch(self.views[view], self.positions, self.shape)

    def averaged(self) -> Tensor:
        """All views averaged, as a volume [X, Y, Z]."""
        return stitch(self.views.mean(dim=0), self.positions, self.shape)

    def returned_image(self) -> Tensor:
        """What came back, as a volume [X, Y, Z]: the expected class of each voxel over the number of classes.

        Classes are ordered by intensity in T1-weighted images, so that it looks like one.
        """
        if self.returned is None:
            raise ValueError("the maps that came back are not among what is known; declare the rung 'returned'")
        classes = self.returned.shape[2]
        grey = torch.arange(classes, dtype=torch.float32) / (classes - 1)
        expected = torch.einsum("nc...,c->n...", self.returned.mean(dim=0), grey)
        return stitch(expected, self.positions, self.shape)

    def first(self, views: int) -> Transcript:
        """The same request with only its first views."""
        returned = None if self.returned is None else self.returned[:views]
        served = None if self.served is None else self.served[:views]
        sent = None if self.sent is None else self.sent[:views]
        return replace(self, views=self.views[:views], returned=returned, served=served, sent=sent)

    def recut(self, size: int) -> Transcript:
        """The first view in patches of ``size`` without what came back, where it was sent in others or whole."""
        if tuple(self.views.shape[-3:]) == (size,) * 3:
            return self.first(1)
        positions = grid_positions(self.shape, (size,) * 3, (size,) * 3)
        views = cut(self.stitched(), positions, (size,) * 3)[None]
        return replace(self, views=views, returned=None, served=None, positions=positions, sent=None)

    def digest(self) -> str:
        """SHA-256 (hex) over everything in it: equal seeds must give equal transcripts."""
        hasher = hashlib.sha256(repr((self.request, tuple(self.views.shape), self.shape)).encode())
        hasher.update(self.views.contiguous().numpy().tobytes())
        hasher.update(self.positions.tobytes())
        hasher.update(self.affine.tobytes())
        for maps in (self.returned, self.served, self.sent):
            if maps is not None:
                hasher.update(maps.contiguous().numpy().tobytes())
        return hasher.hexdigest()


class LazyTranscripts(Sequence[Transcript]):
    """Transcripts made anew at each access, so that a cohort never sits in memory whole."""

    def __init__(self, requests: Sequence[str], make: Callable[[str], Transcript]) -> None:
        self.requests = tuple(requests)
        self._make = make

    def __len__(self) -> int:
        return len(self.requests)

    @overload
    def __getitem__(self, index: int) -> Transcript: ...
    @overload
    def __getitem__(self, index: slice) -> LazyTranscripts: ...
    def __getitem__(self, index: int | slice) -> Transcript | LazyTranscripts:
        if isinstance(index, slice):
            return LazyTranscripts(self.requests[index], self._make)
        return self._make(self.requests[index])

    def __iter__(self) -> Iterator[Transcript]:
        return (self._make(request) for request in self.requests)
