"""Encodings that a black box has already made of a cohort: a folder, and no encoder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from privaudit.cohorts.array_files import read_encoding, read_maps
from privaudit.cohorts.recorded_files import check_encodings, find_recorded, matched
from privaudit.contracts.arrays import ArrayDefense, numbers, pack
from privaudit.contracts.cohort import Cohort, ScanId, mark
from privaudit.contracts.defense import Defense, Encoded, Key
from privaudit.contracts.options import PluginOptions
from privaudit.errors import DataError, OptionError, PluginError
from privaudit.imaging.patches import Shape, as_tensor, one_hot
from privaudit.learning.own_people import coarse

COMPARED: Final = 48
"""Scans that are compared with each other, to tell whether encodings and originals belong together."""


class RecordedOptions(PluginOptions):
    """Where they are."""

    root: Path | None = Field(
        default=None,
        description="folder of BIDS derivatives sub-*/[ses-*/]**/*_desc-encoded[_view-1]_T1w.nii.gz (or .npy), or with"
        " a table encodings.tsv with columns encoded, subject, session, view (or original in place of subject). Label"
        " maps may be there too: _desc-returned, a map for each view as the server sends it back, and _desc-decoded,"
        " what the client makes of them (columns returned, decoded); label numbers [X, Y, Z], or shares [C, X, Y, Z],"
        " in NIfTI [X, Y, Z, C]",
    )


class RecordedDefense(ArrayDefense):
    """What was recorded is looked up by the scan. Nothing new can be encoded.

    Attackers who learn do so on the recorded encodings of their own people; those who would encode images of their own
    choosing cannot run, and the card says so. Where the maps that came back were recorded, maps are attacked too: they
    are those of the box's own server, whatever mistakes it makes.
    """

    name = "recorded"
    summary = "encodings that a black box has already made: --recorded.root DIR"
    fresh = False
    lossless = False
    Options = RecordedOptions
    options: RecordedOptions

    def __init__(self, options: RecordedOptions | None = None) -> None:
        super().__init__(options)
        self._files: dict[ScanId, list[Path]] = {}
        self._returned: dict[ScanId, list[Path]] = {}
        self._decoded: dict[ScanId, list[Path]] = {}
        self._answered: dict[str, ScanId] = {}
        self._cohort: Cohort | None = None
        self._scans: dict[str, ScanId] = {}
        self._unseen: Iterator[ScanId] = iter(())

    def fitted(self, cohort: Cohort, victims: Sequence[str]) -> Defense:
        """The same with the files of every scan.

        Raises:
            OptionError: no folder is given.
            DataError: encodings and scans do not belong together, each to each.
        """
        root = self.options.root
        if root is None or not root.is_dir():
            raise OptionError("where are the encodings?", got=root, todo="give --recorded.root, a folder")
        made = type(self)(self.options)
        found = find_recorded(root)
        made._cohort, made._files = cohort, matched(root, found["encoded"], cohort, "encoded")
        check_encodings(root, made._files)
        made._returned = matched(root, found["returned"], cohort, "returned")
        made._decoded = matched(root, found["decoded"], cohort, "decoded")
        views = {scan: len(files) for scan, files in made._files.items()}
        other = next((len(files) for scan, files in made._returned.items() if len(files) != views[scan]), None)
        if other is not None:
            raise DataError(
                f"{root.name}: a map comes back for each view that is sent", got=f"{other} maps",
                allowed=f"{made.views} of each scan",
            )  # fmt: skip
        if made._decoded and not made._returned:
            raise DataError(f"{root.name} holds decoded maps, and none that came back", todo="add them, _desc-returned")
        made._unseen = iter(cohort.scans)
        return made

    @property
    def views(self) -> int:
        """As many as there are of each scan."""
        return len(next(iter(self._files.values()))) if self._files else 1

    @property
    def answers(self) -> bool:
        """Whether the maps that came back were recorded."""
        return bool(self._returned)

    @property
    def params(self) -> dict[str, Any]:
        """Of the folder only its last part: the others may carry names."""
        return {**super().params, "root": None if self.options.root is None else self.options.root.name}

    @cached_property
    def digest(self) -> str:
        """Of every file's content."""
        hasher = hashlib.sha256()
        for scan in sorted(self._files):
            for file in (*self._files[scan], *self._returned.get(scan, ()), *self._decoded.get(scan, ())):
                hasher.update(repr(scan).encode() + hashlib.sha256(file.read_bytes()).digest())
        return hasher.hexdigest()[:12]

    def encode(self, image: Tensor, key: Key, views: int) -> Encoded:
        """Look up what was recorded.

        Raises:
            PluginError: nothing was, of this image.
        """
        shape: Shape = (image.shape[0], image.shape[1], image.shape[2])
        scan = self._scan(mark(image.numpy()))
        found = [read_encoding(file, file.name) for file in self._files[scan][:views]]
        return pack(self, torch.stack(numbers(found, "a recorded file")), shape)

    def respond(self, labels: Tensor, key: Key, views: int) -> Tensor:
        """The maps that came back of the scan with these labels: [views, 1, C, X, Y, Z].

        Raises:
            PluginError: no scan, or several, have these labels.
            DataError: a file is no map of the scan.
        """
        scans = self._labelled.get(mark(labels.argmax(dim=0).numpy()), [])
        if len(scans) != 1:
            raise PluginError(
                f"{len(scans)} scans have one label map, and which of the recorded maps is theirs cannot be told"
                if scans else "no map of these labels was recorded", todo="attacks must take scans as they are",
            )  # fmt: skip
        shape: Shape = (labels.shape[1], labels.shape[2], labels.shape[3])
        maps = torch.stack([read_maps(file, len(labels), shape) for file in self._returned[scans[0]][:views]])
        self._answered[mark(maps[0].numpy())] = scans[0]
        return maps[:, None]

    def decode(self, returned: Tensor, key: Key) -> Tensor:
        """What the client made of it; where that was not recorded, the mean of what came back.

        Raises:
            PluginError: it is none of the recorded maps.
            DataError: a file is no map of the scan.
        """
        if not self._decoded:
            return returned[:, 0].mean(dim=0)
        scan = self._answered.get(mark(returned[0, 0].numpy()))
        if scan is None:
            raise PluginError("what is to be decoded is none of the recorded maps")
        classes, x, y, z = returned.shape[-4:]
        return read_maps(self._decoded[scan][0], classes, (x, y, z))

    @cached_property
    def _labelled(self) -> dict[str, list[ScanId]]:
        """Scans by their label maps."""
        assert self._cohort is not None
        found: dict[str, list[ScanId]] = {}
        for scan in self._cohort.scans:
            found.setdefault(mark(self._cohort.load(scan).labels), []).append(scan)
        return found

    def _scan(self, wanted: str) -> ScanId:
        """Which scan an image is; scans are read until it is found."""
        assert self._cohort is not None
        while wanted not in self._scans:
            scan = next(self._unseen, None)
            if scan is None:
                raise PluginError("no encoding of this image was recorded", todo="attacks must take scans as they are")
            self._scans[mark(self._cohort.load(scan).image)] = scan
        return self._scans[wanted]

    def __deepcopy__(self, memo: object) -> RecordedDefense:
        return self  # nothing of it can be changed by who is lent it, and iterators cannot be copied

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """That nothing new can be encoded, and scans whose encodings look like somebody else's."""
        told = ["encodings were recorded, and none could be made: attackers learn from those of their own people"]
        if self._returned:
            told.append("maps that came back were recorded: they are those of the box's own server, with its mistakes")
        for kind, what in (("encodings", "originals"), ("maps", "label maps")):
            odd = self._linked_otherwise(kind == "maps") if kind == "encodings" or self._returned else 0
            if odd:
                told.append(
                    f"the {kind} of {odd} scans are most like the {what} of others, while most are like their own:"
                    " renamed people or swapped sessions? Check the folder"
                )
        return tuple(told)

    def _linked_otherwise(self, maps: bool) -> int:
        """How many encodings, or maps, are more like another scan's original, where most are most like their own."""
        assert self._cohort is not None
        originals, found = [], []
        for scan in sorted(self._files)[:COMPARED]:
            volume = self._cohort.load(scan)
            if maps:
                hot = one_hot(volume.labels, max(self._cohort.label_names) + 1)
                shares = self.decode(self.respond(hot, Key(), self.views), Key())
                originals.append(torch.from_numpy(volume.labels).float())
                found.append(shares.argmax(dim=0).float())
            else:
                originals.append(as_tensor(volume.image))
                found.append(self.encode(originals[-1], Key(), 1).views[0, 0])
        raw, seen = (torch.stack([coarse(v)[0, 0].flatten() for v in volumes]) for volumes in (originals, found))
        raw, seen = (torch.nn.functional.normalize(part - part.mean(dim=0), dim=1) for part in (raw, seen))
        best = (seen @ raw.T).numpy().argmax(axis=1)
        own = best == np.arange(len(found))
        return 0 if own.mean() <= 0.5 else int((~own).sum())
