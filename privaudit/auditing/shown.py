"""What a card shows of a job, kept while the job runs: else the attack would have to be run again to draw it.

Only of cohorts that may be shown. Of others, nothing with voxels in it is written.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from privaudit.auditing.scene import Scene
from privaudit.auditing.spec import PictureSpec
from privaudit.contracts.attack import Attack, Protocol
from privaudit.contracts.claims import Claim
from privaudit.files import atomic_path
from privaudit.scoring.kind import Asked
from privaudit.scoring.kinds import kind_of

ROWS: Final = 3
"""Requests that are shown."""


def shown_requests(scene: Scene, limits: PictureSpec) -> tuple[str, ...]:
    """The requests that are shown: the first of those that attacks on pictures are run on. None is chosen."""
    return scene.some_requests(limits.scans, limits.people)[:ROWS]


def is_drawn(attack: Attack) -> bool:
    """Whether the card shows what an attack claims beside what was sent; some draw pictures of their own."""
    return kind_of(attack).drawn and attack.preview() is None and attack.name != "as-is"


def shown_protocol(attack: Attack, views: int) -> Protocol:
    """The protocol that is shown: the first that decides, or else the first: of a trivial attack none may decide."""
    protocols = attack.protocols(views)
    return next((protocol for protocol in protocols if protocol.primary), protocols[0])


def is_shown(attack: Attack, protocol: Protocol, scene: Scene) -> bool:
    """Whether pictures of a protocol are kept: it is the one that the card shows, of a cohort that may be shown."""
    return scene.cohort.shareable and is_drawn(attack) and protocol == shown_protocol(attack, scene.defense.views)


class Shown:
    """Middle slices with titles, in a file beside a job's.

    Args:
        job: the job's file.
        key: all that determines its result; what was kept under another one is forgotten.
    """

    def __init__(self, job: Path, key: Mapping[str, Any]) -> None:
        self._path = job.with_suffix(".shown.npz")
        self._key = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        self.slices = self._read()
        """By name: a title, and a volume [X, Y, 1]."""

    def _read(self) -> dict[str, tuple[str, Tensor]]:
        try:
            with self._path.open("rb") as stream, np.load(stream, allow_pickle=False) as kept:
                if str(kept["key"]) != self._key:
                    return {}
                titles = zip(kept["names"].tolist(), kept["titles"].tolist(), kept["slices"], strict=True)
                return {name: (title, torch.from_numpy(image)[..., None]) for name, title, image in titles}
        except (OSError, EOFError, KeyError, ValueError, TypeError, zipfile.BadZipFile):
            return {}

    def keep(self, name: str, title: str, volume: Tensor) -> None:
        """Write the middle slice of a volume [X, Y, Z] beside the others.

        Raises:
            WriteError: it cannot be written.
        """
        self.slices[name] = title, volume[:, :, volume.shape[2] // 2, None].float()
        titles, images = zip(*self.slices.values(), strict=True)
        slices = torch.stack(images)[..., 0].numpy()
        with atomic_path(self._path, private=True) as temporary, temporary.open("wb") as stream:
            np.savez(stream, key=self._key, names=list(self.slices), titles=titles, slices=slices)


def watched(claims: Iterable[Claim], requests: Sequence[str], shown: Shown, asked: Asked) -> Iterator[Claim]:
    """Hand claims on, and keep pictures of those about some requests."""
    kind, shape = kind_of(asked.attack), asked.secrets.cohort.shape
    for claim in claims:
        request = str(getattr(claim, "request", ""))
        if request in requests and isinstance(claim, kind.claim):
            shown.keep(request, *kind.picture(claim.checked(shape, asked.attack.name), request, asked))
        yield claim
