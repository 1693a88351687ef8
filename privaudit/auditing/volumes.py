"""Scans of a cohort as a sequence, read when they are asked for."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import overload

from privaudit.contracts.cohort import Cohort, ScanId, Volume
from privaudit.contracts.knowledge import GalleryEntry
from privaudit.imaging.patches import as_tensor


class LazyVolumes(Sequence[Volume]):
    """Scans read when asked for, the most recent kept within a budget of bytes."""

    def __init__(self, cohort: Cohort, scans: Sequence[ScanId], budget: int = 1 << 30) -> None:
        self._cohort, self.scans, self._budget = cohort, tuple(scans), budget
        self._kept: OrderedDict[int, Volume] = OrderedDict()

    def part(self, indices: Sequence[int]) -> LazyVolumes:
        """Some of them, in the order of their indices."""
        return LazyVolumes(self._cohort, [self.scans[index] for index in indices], self._budget)

    def __len__(self) -> int:
        return len(self.scans)

    @overload
    def __getitem__(self, index: int) -> Volume: ...
    @overload
    def __getitem__(self, index: slice) -> LazyVolumes: ...
    def __getitem__(self, index: int | slice) -> Volume | LazyVolumes:
        if isinstance(index, slice):
            return LazyVolumes(self._cohort, self.scans[index], self._budget)
        index = range(len(self.scans))[index]
        volume = self._kept.pop(index, None)
        if volume is None:
            volume = self._cohort.load(self.scans[index])
            # Attacks get some of these: what they write on must never be the truth they are scored against.
            volume.image.flags.writeable = volume.labels.flags.writeable = False
        self._kept[index] = volume
        while len(self._kept) > 1 and sum(v.image.nbytes + v.labels.nbytes for v in self._kept.values()) > self._budget:
            self._kept.popitem(last=False)
        return volume


def entries_of(volumes: LazyVolumes, named: Sequence[tuple[str, ScanId]]) -> list[GalleryEntry]:
    """Some of the scans with the names that an attacker knows their people by; read when they are asked for."""
    place = {scan: number for number, scan in enumerate(volumes.scans)}

    def entry(alias: str, scan: ScanId) -> GalleryEntry:
        return GalleryEntry(alias, lambda: as_tensor(volumes[place[scan]].image))

    return [entry(alias, scan) for alias, scan in named]
