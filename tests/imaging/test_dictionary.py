"""References that the attacker holds are found in mixtures of made-up people, and taken out exactly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch import Tensor

from privaudit.errors import OptionError
from privaudit.imaging.atlas import Atlas
from privaudit.imaging.dictionary import Dictionary, independent_voxels
from privaudit.imaging.explaining import Explained, Sharing, explain, subtract
from privaudit.imaging.guessing import best_guess
from privaudit.imaging.locating import Places
from privaudit.imaging.mixing import AlphaPer, mix
from privaudit.imaging.patches import Shape, cut, grid_positions, stitch
from privaudit.imaging.smoothing import gaussian
from privaudit.imaging.weighing import weight_from_air, weight_from_differences

SHAPE: Shape = (28, 28, 28)
SIZE: Shape = (14, 14, 14)


def people(count: int, seed: int = 0, own_air: bool = False) -> list[Tensor]:
    """Brains with a common shape and folds of their own, 0 outside; with ``own_air`` also outlines of their own."""
    rng = np.random.default_rng(seed)
    common = ndimage.gaussian_filter(np.random.default_rng(99).standard_normal(SHAPE), 4)
    out = []
    for _ in range(count):
        folds = ndimage.gaussian_filter(rng.standard_normal(SHAPE), 1.2)
        image = 0.5 + 0.1 * common / common.std() + 0.1 * folds / folds.std()
        centre = 13.5 + (rng.uniform(-1, 1, 3) if own_air else np.zeros(3))
        away = np.sqrt(((np.indices(SHAPE) - centre[:, None, None, None]) ** 2).sum(axis=0))
        out.append(torch.from_numpy((np.clip(image, 0.02, 1) * (away < 12.5)).astype(np.float32)))
    return out


def atlas_of(images: list[Tensor]) -> Atlas:
    stack = torch.stack(images)
    return Atlas(stack.mean(dim=0), stack.var(dim=0))


class Case:
    """Views of a target, with known references and weights."""

    def __init__(
        self, alpha: Tensor, subjects: Tensor, pool: list[Tensor], *, seed: int = 0, own_air: bool = False,
        whole: bool = False, corners: Any = None,
    ) -> None:  # fmt: skip
        """Alpha [V, N], subjects [V, N, k]."""
        self.target = people(1, 1000 + seed, own_air)[0]
        self.positions = np.zeros((1, 3), dtype=np.int64) if whole else grid_positions(SHAPE, SIZE, SIZE)
        self.size = SHAPE if whole else SIZE
        views = []
        for v, (weights, whose) in enumerate(zip(alpha, subjects, strict=True)):
            where = self.positions if corners is None else corners[v]
            pieces = [
                torch.stack([cut(pool[int(j)], corner[None], self.size)[0] for j in indices]).mean(dim=0)
                for indices, corner in zip(whose, where, strict=True)
            ]
            views.append(mix(cut(self.target, self.positions, self.size), torch.stack(pieces)[None], weights[None])[0])
        self.views = torch.stack(views)
        self.alpha, self.subjects = alpha, subjects

    def explain(self, pool: list[Tensor], per_volume: bool, alpha_per: AlphaPer, fresh: bool) -> Explained:
        self.dictionary = Dictionary(pool, atlas_of(people(12, 500)), self.positions, self.size)
        sharing = Sharing(self.subjects.shape[-1], per_volume, alpha_per, fresh)
        return explain(self.views, self.dictionary, sharing)

    def error(self, explained: Explained) -> float:
        picture = stitch(subtract(self.views, self.dictionary, explained), self.positions, SHAPE)
        return float((picture - self.target).abs().max())


@pytest.mark.parametrize("true", [0.1, 0.4, 0.7])
@pytest.mark.parametrize("whole", [True, False])
def test_one_view_of_one_reference_is_undone_exactly(true: float, whole: bool) -> None:
    """Outlines differ, and where the target has none a view tells the weight to the last digit."""
    pool, n = people(12, 1, own_air=True), 1 if whole else 8
    case = Case(torch.full((1, n), true), torch.full((1, n, 1), 5), pool, own_air=True, whole=whole)
    explained = case.explain(pool, True, "volume", False)
    assert explained.found.all()
    assert (explained.chosen == 5).all()
    assert explained.alpha.flatten().tolist() == pytest.approx([true] * n, abs=1e-5)
    assert case.error(explained) < 1e-4


def test_without_air_one_view_tells_the_weight_nearly_and_two_exactly() -> None:
    pool = people(12, 1)
    subjects = torch.tensor([3, 9]).reshape(2, 1, 1).expand(2, 8, 1)
    case = Case(torch.full((2, 8), 0.45), subjects, pool)
    both = case.explain(pool, True, "volume", False)
    assert (both.chosen[:, 0, 0] == [3, 9]).all()
    assert both.alpha.flatten().tolist() == pytest.approx([0.45] * 16, abs=1e-5)
    assert case.error(both) < 1e-4
    case.views, case.subjects = case.views[:1], subjects[:1]
    one = case.explain(pool, True, "volume", False)
    assert (one.chosen == 3).all()
    assert 0 < abs(float(one.alpha[0, 0]) - 0.45) < 0.05


def test_every_patch_may_have_a_reference_and_a_weight_of_its_own() -> None:
    pool, rng = people(12, 1), np.random.default_rng(0)
    alpha = torch.from_numpy(rng.uniform(0.1, 0.4, (1, 8)).astype(np.float32))
    case = Case(alpha, torch.arange(8).reshape(1, 8, 1), pool)
    explained = case.explain(pool, False, "patch", True)
    assert explained.found.all()
    assert explained.chosen[0, :, 0].tolist() == list(range(8))
    assert explained.alpha.flatten().tolist() == pytest.approx(alpha.flatten().tolist(), abs=0.1)


def test_one_reference_for_all_patches_whose_weights_differ() -> None:
    pool = people(12, 1)
    alpha = torch.linspace(0.2, 0.6, 8)[None]
    case = Case(alpha, torch.full((1, 8, 1), 7), pool)
    explained = case.explain(pool, True, "patch", True)
    assert (explained.chosen == 7).all(), "patches with little of the reference lean on those with more"
    assert explained.alpha.flatten().tolist() == pytest.approx(alpha.flatten().tolist(), abs=0.08)


def test_two_references_are_found_one_after_the_other() -> None:
    pool = people(12, 1, own_air=True)
    case = Case(torch.full((1, 1), 0.3), torch.tensor([[[2, 8]]]), pool, own_air=True, whole=True)
    explained = case.explain(pool, True, "volume", False)
    assert set(explained.chosen.flatten().tolist()) == {2, 8}
    assert explained.shares.flatten().tolist() == pytest.approx([0.5, 0.5], abs=1e-6)
    assert float(explained.alpha) == pytest.approx(0.3, abs=1e-5)
    assert case.error(explained) < 1e-4
    half = case.explain([pool[2], *people(8, 77, own_air=True)], True, "volume", False)
    assert not half.found.any(), "one of two references is not enough"


@pytest.mark.parametrize("seed", range(8))
def test_who_does_not_hold_the_reference_finds_none(seed: int) -> None:
    pool = people(12, 1)
    case = Case(torch.full((2, 8), 0.1 + 0.1 * seed), torch.full((2, 8, 1), 4), pool, seed=seed)
    others = people(12, 200 + seed)
    for per_volume in (True, False):
        explained = case.explain(others, per_volume, "volume", False)
        assert not explained.found.any()
        assert (explained.chosen == -1).all()
        assert (explained.alpha == 1).all()


def test_views_whose_reference_is_known_help_those_whose_is_not() -> None:
    pool = people(12, 1)
    subjects = torch.tensor([3, 9]).reshape(2, 1, 1).expand(2, 8, 1)
    case = Case(torch.full((2, 8), 0.45), subjects, pool)
    explained = case.explain(pool[4:], True, "volume", False)
    assert explained.found.tolist() == [[False] * 8, [True] * 8]
    assert case.error(explained) < 0.1


def test_noise_is_explained_by_nobody() -> None:
    pool = people(12, 1)
    case = Case(torch.ones((1, 8)), torch.zeros((1, 8, 1), dtype=torch.long), pool)
    case.views = torch.rand(case.views.shape, generator=torch.Generator().manual_seed(0))
    assert not case.explain(pool, False, "patch", True).found.any()
    case.views = torch.zeros_like(case.views)
    assert not case.explain(pool, False, "patch", True).found.any()


def test_references_cut_anywhere_are_located() -> None:
    pool, rng = people(8, 1), np.random.default_rng(3)
    corners = rng.integers(3, 11, (1, 8, 3))
    case = Case(torch.full((1, 8), 0.3), torch.arange(8).reshape(1, 8, 1), pool, corners=corners)
    dictionary = Dictionary(pool, atlas_of(people(12, 500)), case.positions, SIZE)
    places = Places(pool, dictionary.centre, SIZE)
    explained = explain(case.views, dictionary, Sharing(1, False, "volume", False), places)
    assert explained.found.mean() >= 0.75
    there = explained.found[0]
    assert (explained.chosen[0, there, 0] == np.arange(8)[there]).all()
    assert (explained.corners[0, there, 0] == corners[0, there]).all()
    stranger = Case(torch.full((1, 8), 0.3), torch.arange(8).reshape(1, 8, 1), people(8, 300), corners=corners)
    assert not explain(stranger.views, dictionary, Sharing(1, False, "volume", False), places).found.any()
    assert not explain(case.views, dictionary, Sharing(2, False, "volume", False), places).found.any(), "two: not told"


def test_of_few_references_the_atlas_is_the_mean() -> None:
    pool, atlas = people(12, 1), atlas_of(people(12, 500))
    assert Dictionary(pool[:3], atlas, np.zeros((1, 3), dtype=np.int64), SHAPE).centre is atlas.mean
    case = Case(torch.full((1, 1), 0.4), torch.zeros((1, 1, 1), dtype=torch.long), pool, whole=True)
    assert (case.explain(pool[:1], True, "volume", False).chosen == 0).all()


def test_how_many_voxels_are_independent() -> None:
    rng = torch.Generator().manual_seed(0)
    chance = torch.randn(2000, generator=rng) / 30
    assert independent_voxels(chance, 10**6) == pytest.approx(900, rel=0.1)
    relatives = torch.cat([chance, torch.full((50,), 0.9)])
    assert independent_voxels(relatives, 10**6) == pytest.approx(900, rel=0.15)
    assert independent_voxels(chance, 100) == 100
    assert independent_voxels(chance[:2], 800) == 100


def test_the_weight_in_air() -> None:
    target, reference = people(2, 5, own_air=True)
    grown = torch.where((target == 0) & (reference == 0), 0.0, reference)
    grown[:, :, 20:] = 0.5  # where the target is air
    mixed = 0.3 * target + 0.7 * grown
    weight, odds = weight_from_air([(mixed, grown)])
    assert weight == pytest.approx(0.7, abs=1e-5)
    assert odds > 100
    assert weight_from_air([(mixed, grown)], 0.2, 0.6)[0] == 0.0, "nobody agrees on any other"
    assert weight_from_air([(mixed, torch.zeros_like(mixed))]) == (0.0, float("-inf"))
    other = people(1, 6)[0]
    assert weight_from_air([(mixed, other)])[1] < 10


def test_the_weight_from_differences() -> None:
    target, one, other = people(3, 5)
    pairs = [(0.4 * target + 0.6 * reference, reference) for reference in (one, other)]
    assert weight_from_differences([pairs]) == pytest.approx(0.6, abs=1e-5)
    assert weight_from_differences([pairs[:1]]) is None


def test_the_blur_is_scipys() -> None:
    volume = torch.rand(9, 10, 11, generator=torch.Generator().manual_seed(0))
    expected = ndimage.gaussian_filter(volume.numpy(), 1.0, mode="constant")
    np.testing.assert_allclose(gaussian(volume[None], 1.0)[0], expected, atol=1e-6)


@pytest.mark.parametrize("side", [None, 16, 32])
def test_the_best_guess(side: int | None) -> None:
    rng = torch.Generator().manual_seed(0)
    alike = [0.5 + 0.1 * torch.rand(32, 32, 40, generator=rng) for _ in range(8)]
    mean = torch.stack(alike).mean(dim=0)
    assert torch.equal(best_guess(alike, side, among=False), mean), "of somebody else, nobody knows more than the mean"
    # The mean of an image and its negative is like neither; to guess one is right every other time.
    one = torch.rand(32, 32, 40, generator=rng)
    unlike = [one, 1 - one]
    assert any(torch.equal(best_guess(unlike, side, among=True), image) for image in unlike)
    assert torch.equal(best_guess(unlike[:1], side, among=True), unlike[0])
    with pytest.raises(OptionError, match="no MS-SSIM profile fits"):
        best_guess([image[:20] for image in alike], side, among=False)
