"""Compressed files with damage: whatever bit is wrong, the file is refused or nothing of it is."""

from __future__ import annotations

import bz2
import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from privaudit.cohorts.volumes import read_array
from privaudit.errors import DataError

Writer = Callable[..., Path]
Brain = Callable[..., tuple[NDArray[Any], NDArray[Any]]]


@pytest.mark.parametrize("ending", ["nii.gz", "mgz"])
def test_no_flipped_bit_changes_a_voxel(ending: str, tmp_path: Path, write: Writer, brain: Brain) -> None:
    path = write(tmp_path / f"a.{ending}", brain()[0].round().astype(np.int16))
    good, (voxels, affine) = path.read_bytes(), read_array(path)
    rng = np.random.default_rng(0)
    refused = 0
    for place in rng.choice(8 * len(good), 60, replace=False):
        bad = bytearray(good)
        bad[place // 8] ^= 1 << int(place % 8)
        path.write_bytes(bad)
        try:
            found = read_array(path)
        except DataError as error:
            refused += f"a.{ending} is truncated or no readable" in str(error) and "\n" not in str(error)
        else:  # a bit of the file's name or time, say
            np.testing.assert_array_equal(found[0], voxels)
            np.testing.assert_array_equal(found[1], affine)
    assert refused >= 58


@pytest.mark.parametrize("ending", ["nii.gz", "mgz"])
def test_a_stream_that_lost_or_got_an_end_is_refused(ending: str, tmp_path: Path, write: Writer, brain: Brain) -> None:
    path = write(tmp_path / f"a.{ending}", brain()[0])
    good = path.read_bytes()
    for bad in (good[:-1], good[:-8], good + b"more"):
        path.write_bytes(bad)
        with pytest.raises(DataError, match="copy or download it again"):
            read_array(path)


def test_other_ways_to_store_an_image_read_the_same(tmp_path: Path, write: Writer, brain: Brain) -> None:
    image = brain()[0]
    plain = write(tmp_path / "a.nii", image)
    (tmp_path / "b.nii.bz2").write_bytes(bz2.compress(plain.read_bytes()))
    half = len(plain.read_bytes()) // 2
    parts = plain.read_bytes()[:half], plain.read_bytes()[half:]
    (tmp_path / "c.nii.gz").write_bytes(b"".join(map(gzip.compress, parts)))  # as bgzip does: several streams
    for name in ("a.nii", "b.nii.bz2", "c.nii.gz"):
        np.testing.assert_array_equal(read_array(tmp_path / name)[0], image)


def test_a_header_that_promises_more_than_memory_holds(
    tmp_path: Path, write: Writer, brain: Brain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> Any:
        raise MemoryError

    path = write(tmp_path / "a.nii", brain()[0])
    monkeypatch.setattr(np, "asanyarray", full)
    with pytest.raises(DataError, match=r"a\.nii does not fit into memory"):
        read_array(path)
