"""Which protocols ``reid`` runs, and its blur; its figures are tested by the conformance suite and those of MS-SSIM."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from privaudit.contracts.attack import Protocol, Task
from privaudit.contracts.knowledge import GalleryEntry, Knowledge, Rung
from privaudit.contracts.transcript import Transcript
from privaudit.errors import OptionError
from privaudit.msssim import ms_ssim, profile_for
from privaudit_attacks.reid import ReidAttack


def test_several_numbers_of_views_are_protocols_of_their_own_where_so_many_are_sent() -> None:
    attack = ReidAttack.from_values(views="[10, 1]")
    assert [(p.name, p.views) for p in attack.protocols(10)] == [
        ("encoded", 1), ("encoded K=10", 10), ("raw-gallery", 1), ("raw-gallery K=10", 10),
    ]  # fmt: skip
    assert all((Rung.VIEWS in p.knowledge) == (p.views > 1) for p in attack.protocols(10))
    assert all(p.primary for p in attack.protocols(10)), "averaged views are no lesser attack"
    assert [p.name for p in attack.protocols(1)] == ["encoded", "raw-gallery"]


def test_one_number_of_views_is_asked_of_the_defense() -> None:
    attack = ReidAttack.from_values(views="10")
    assert [(p.name, p.views) for p in attack.protocols(10)] == [("encoded", 10), ("raw-gallery", 10)]
    with pytest.raises(OptionError, match="more views than the defense sends; got 10; allowed: 1"):
        attack.protocols(1)


SHAPE = (32, 32, 32)


def similarities(name: str, images: np.ndarray[Any, Any], **options: str) -> np.ndarray[Any, Any]:
    """What ``reid`` claims of these scans [N, 32, 32, 32], each sent whole with voxels of 2 mm."""
    attack = ReidAttack.from_values(**options)
    protocol: Protocol = next(p for p in attack.protocols(1) if p.name == name)
    transcripts = [
        Transcript(f"r{n}", torch.from_numpy(i)[None, None], np.zeros((1, 3), np.int64), SHAPE, np.diag([2.0, 2, 2, 1]))
        for n, i in enumerate(images)
    ]
    gallery = [GalleryEntry(str(n), lambda i=i: torch.from_numpy(i)) for n, i in enumerate(images)]  # type: ignore[misc]
    nothing: Any = None
    knowledge = Knowledge(
        protocol.knowledge, attack="reid", atlas=nothing, population=[], pool=[], gallery=gallery, weights=nothing
    )
    task = Task(0, torch.device("cpu"), "fast", Path(), lambda _: None, nothing)
    (claim,) = attack.run(protocol, transcripts, knowledge, task)
    scores = claim.scores
    return np.array([scores.exact(i, np.arange(len(images))) for i in range(len(images))])


@pytest.mark.parametrize("name", ["encoded", "raw-gallery"])
def test_a_low_pass_blurs_queries_and_gallery_by_millimetres(name: str) -> None:
    images = np.random.default_rng(0).random((3, *SHAPE), dtype=np.float32)
    found = similarities(name, images, lowpass_mm="3")
    blurred = torch.from_numpy(np.stack([ndimage.gaussian_filter(i, 1.5, mode="constant") for i in images]))
    for i, j in ((0, 1), (1, 2)):
        expected = float(ms_ssim(blurred[i][None], blurred[j][None], profile_for(SHAPE)))
        assert found[i, j] == pytest.approx(expected, abs=1e-5)
    assert np.array_equal(similarities(name, images, lowpass_mm="0"), similarities(name, images))
    assert not np.allclose(found, similarities(name, images))


def test_a_low_pass_is_no_negative_number() -> None:
    with pytest.raises(OptionError, match="lowpass_mm"):
        ReidAttack.from_values(lowpass_mm="-1")
