"""Training examples: what is mixed with what, and that a step's batch depends on the step alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from privaudit.contracts.cohort import Cohort, ScanId, Volume
from privaudit.contracts.recipe import Recipe
from privaudit.errors import DataError, OptionError
from privaudit.segmentation.sampling import PatchSource


class Flat(Cohort):
    """Each scan has one intensity and one label everywhere, so that a mixture tells who is in it."""

    name, shape, voxel_mm = "flat", (36, 34, 32), 1.0

    def __init__(self, people: int, sessions: int = 1) -> None:
        self._scans = [ScanId(f"p{p}", str(s)) for p in range(people) for s in range(sessions)]
        self.loaded = 0

    @property
    def scans(self) -> Sequence[ScanId]:
        return self._scans

    def load(self, scan: ScanId) -> Volume:
        self.loaded += 1
        number = int(scan.subject[1:])
        image = np.full(self.shape, (number + 1) / 16, np.float32)
        return Volume(image, np.full(self.shape, number % 4, np.uint8), np.eye(4))

    @property
    def fingerprint(self) -> str:
        return hashlib.sha256(b"flat").hexdigest()


CPU = torch.device("cpu")


def source(people: int = 6, recipe: Recipe | None = None, hold: int = 256) -> PatchSource:
    cohort = Flat(people)
    return PatchSource(cohort, cohort.scans, 4, recipe or Recipe(32, (0.0, 1.0)), seed=3, device=CPU, hold=hold)


def test_an_example_is_alpha_target_plus_the_rest_reference() -> None:
    batch = source().batch(0, 8)
    assert batch.alpha is not None
    assert batch.reference_map is not None
    assert batch.image.shape == (8, 1, 32, 32, 32)
    for i in range(8):
        alpha = float(batch.alpha[i])
        one, other = batch.target_map[i, :, 0, 0, 0], batch.reference_map[i, :, 0, 0, 0]
        torch.testing.assert_close(batch.mixed_map[i, :, 5, 5, 5], alpha * one + (1 - alpha) * other)
    assert torch.allclose(batch.mixed_map.sum(1), torch.ones(()))


def test_the_image_is_mixed_like_its_map() -> None:
    # People 0 to 3 have labels 0 to 3, so a map names the people, and they the intensity.
    batch = source(people=4).batch(1, 16)
    assert batch.alpha is not None
    assert batch.reference_map is not None
    target = (batch.target_map[:, :, 0, 0, 0].argmax(1) + 1) / 16
    reference = (batch.reference_map[:, :, 0, 0, 0].argmax(1) + 1) / 16
    expected = batch.alpha * target + (1 - batch.alpha) * reference
    torch.testing.assert_close(batch.image[:, 0, 0, 0, 0], expected, atol=1e-3, rtol=0)
    assert bool((target != reference).all()), "nobody is mixed with himself"


def test_alpha_keeps_to_its_range_and_fills_it() -> None:
    s = source(recipe=Recipe(32, (0.4, 0.6)))
    alpha = torch.cat([a for step in range(40) if (a := s.batch(step, 4).alpha) is not None])
    assert float(alpha.min()) >= 0.4
    assert float(alpha.max()) <= 0.6
    assert float(alpha.std()) == pytest.approx(0.2 / 12**0.5, rel=0.2)


@pytest.mark.parametrize("equal", [True, False])
def test_several_references_have_shares_that_add_up(equal: bool) -> None:
    batch = source(recipe=Recipe(32, (0.5, 0.5), references=3, equal=equal)).batch(0, 6)
    assert batch.reference_map is not None
    assert torch.allclose(batch.reference_map.sum(1), torch.ones(()), atol=1e-6)
    top = batch.reference_map[:, :, 0, 0, 0].max(1).values
    assert bool((top < 0.999).any())


def test_a_batch_depends_on_the_step_alone() -> None:
    walked, jumped = source(), source()
    for step in range(5):
        expected = walked.batch(step, 3)
    found = jumped.batch(4, 3)
    assert torch.equal(found.image, expected.image)
    assert torch.equal(found.target_map, expected.target_map)
    assert not torch.equal(found.image, jumped.batch(5, 3).image)
    assert not torch.equal(found.image, jumped.batch(4, 3, rank=1).image)


def test_few_scans_are_held_and_all_are_seen() -> None:
    cohort = Flat(9)
    s = PatchSource(cohort, cohort.scans, 4, Recipe(32, None), seed=0, device=CPU, hold=3, turn=2)
    seen: set[float] = set()
    for step in range(60):
        seen |= {round(v * 16) for v in s.batch(step, 4).image[:, 0, 0, 0, 0].tolist()}
        assert len(s._images) == 3
    assert seen == set(range(1, 10))
    late = PatchSource(cohort, cohort.scans, 4, Recipe(32, None), seed=0, device=CPU, hold=3, turn=2)
    assert torch.equal(late.batch(59, 4).image, s.batch(59, 4).image)


def test_foreground_patches_hold_labelled_tissue() -> None:
    class Corner(Flat):
        def load(self, scan: ScanId) -> Volume:
            labels = np.zeros(self.shape, np.uint8)
            labels[-1, -1, -1] = 1
            return Volume(np.zeros(self.shape, np.float32), labels, np.eye(4))

    cohort = Corner(3)
    s = PatchSource(cohort, cohort.scans, 2, Recipe(32, None, foreground=1.0, flip=False), 0, CPU)
    assert all(bool((s.batch(step, 4).target_map[:, 1].sum((1, 2, 3)) > 0).all()) for step in range(5))


def test_too_few_people_and_too_large_patches_are_refused() -> None:
    with pytest.raises(DataError, match="more people to train on"):
        source(people=1)
    with pytest.raises(OptionError, match="does not fit"):
        source(recipe=Recipe(48, None))
