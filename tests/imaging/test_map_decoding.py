"""Mixed label maps decode to those of their sources: exactly where values are exact, nearly under noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from privaudit.contracts.scheme import Mixing
from privaudit.errors import DataError
from privaudit.imaging.label_prior import GreyValues, LabelPrior
from privaudit.imaging.map_decoding import Decoded, decode_maps
from privaudit.imaging.map_shares import distinct_values, value_shares
from privaudit.imaging.patches import cut, grid_positions, most_likely, one_hot
from privaudit.scoring.overlap import dice

SHAPE, CLASSES = (16, 16, 16), 4
Labels = NDArray[np.uint8]


def person(seed: int) -> Labels:
    """A ball with three tissues, the common template and a person's own shape in equal parts."""

    def field(number: int) -> NDArray[np.float64]:
        noise = ndimage.gaussian_filter(np.random.default_rng(number).standard_normal(SHAPE), 1.5)
        return np.asarray(noise / noise.std())

    both = field(10_000) + field(seed)
    ball = np.sqrt(((np.indices(SHAPE) - 7.5) ** 2).sum(axis=0)) < 7
    labels: Labels = (ball * (1 + (both > -0.6) + (both > 0.6))).astype(np.uint8)
    return labels


PEOPLE = [person(n) for n in range(40)]
PRIOR = LabelPrior.of(PEOPLE[20:])
WHOLE = grid_positions(SHAPE, SHAPE, SHAPE)


def mixed(shares: NDArray[np.float64], first: int = 1) -> tuple[Tensor, Labels, Labels]:
    """Maps [V, 1, C, *SHAPE] of person 0 with others, by shares [V, 1 + k]; labels of target and first reference."""
    maps, others = [], iter(range(first, 20))
    references = []
    for row in shares:
        sources = [0, *(next(others) for _ in row[1:])]
        references.append(sources[1])
        maps.append(sum(float(s) * one_hot(PEOPLE[n], CLASSES) for s, n in zip(row, sources, strict=True)))
    return torch.stack([torch.as_tensor(one) for one in maps])[:, None], PEOPLE[0], PEOPLE[references[0]]


def decoded(maps: Tensor, mixing: Mixing | None, positions: Any = WHOLE) -> Decoded:
    return decode_maps(maps, positions, SHAPE, PRIOR, mixing)


def mean_dice(guess: Any, truth: Labels) -> float:
    return float(np.mean([dice(guess, truth, label) or 0.0 for label in range(1, CLASSES)]))


VOLUME = Mixing(alpha_per="volume")
ALPHAS = st.floats(0.01, 0.99)


@settings(max_examples=25)
@given(alpha=ALPHAS)
def test_one_view_of_a_perfect_server_gives_alpha_and_both_maps_but_not_whose(alpha: float) -> None:
    maps, target, reference = mixed(np.array([[alpha, 1 - alpha]]))
    found = decoded(maps, VOLUME)
    assert found.exact
    assert not found.ordered
    assert float(found.alpha[0, 0]) == pytest.approx(max(alpha, 1 - alpha), abs=5e-6)
    assert found.reference is not None
    both = (most_likely(found.target), most_likely(found.reference))
    if abs(alpha - 0.5) < 2e-3:  # equal shares: which label is whose is open at every voxel
        return
    stronger, weaker = (target, reference) if alpha > 0.5 else (reference, target)
    assert (both[0] == stronger).all()
    assert (both[1] == weaker).all()


@settings(max_examples=25)
@given(alpha=ALPHAS)
def test_several_views_tell_whose(alpha: float) -> None:
    maps, target, reference = mixed(np.array([[alpha, 1 - alpha]] * 3))
    found = decoded(maps, VOLUME)
    assert found.ordered
    assert found.reference is not None
    if abs(alpha - 0.5) < 2e-3:  # open where all three references have one label, and the target another
        assert (most_likely(found.target) == target).mean() > 0.98
    else:
        assert (most_likely(found.target) == target).all()
        assert float(found.alpha[0, 0]) == pytest.approx(alpha, abs=5e-6)
        assert (most_likely(found.reference) == reference).all()


@settings(max_examples=10)
@given(alphas=st.lists(ALPHAS.filter(lambda a: abs(a - 0.5) > 0.01), min_size=3, max_size=3))
def test_views_with_weights_of_their_own(alphas: list[float]) -> None:
    maps, target, reference = mixed(np.array([[a, 1 - a] for a in alphas]))
    found = decoded(maps, Mixing(alpha_per="request"))
    assert found.alpha[:, 0].tolist() == pytest.approx(alphas, abs=5e-6)
    assert (most_likely(found.target) == target).all()
    assert found.reference is not None
    assert (most_likely(found.reference) == reference).all()


@settings(max_examples=15)
@given(
    alpha=st.floats(0.1, 0.9).filter(lambda a: abs(a - 0.5) > 0.1), noise=st.floats(0.01, 0.08), seed=st.integers(0, 99)
)
def test_noise_on_the_maps_costs_little(alpha: float, noise: float, seed: int) -> None:
    maps, target, reference = mixed(np.array([[alpha, 1 - alpha]] * 4))
    noisy = maps + noise * torch.randn(maps.shape, generator=torch.Generator().manual_seed(seed))
    found = decoded(noisy, VOLUME)
    assert not found.exact
    assert float(found.alpha[0, 0]) == pytest.approx(alpha, abs=0.05)
    assert mean_dice(most_likely(found.target), target) > 0.9
    assert found.reference is not None
    assert (
        mean_dice(most_likely(found.reference), reference) > mean_dice(most_likely(PRIOR.frequencies), reference) + 0.1
    )


@pytest.mark.parametrize("shares", [[0.6, 0.2, 0.2], [0.1, 0.45, 0.45], [0.52, 0.33, 0.15], [0.37, 0.21, 0.21, 0.21]])
def test_several_references_leave_the_target_to_be_found(shares: list[float]) -> None:
    maps, target, _ = mixed(np.array([shares] * 3))
    found = decoded(maps, Mixing(references=len(shares) - 1, alpha_per="volume"))
    assert found.exact
    assert found.ordered
    assert float(found.alpha[0, 0]) == pytest.approx(shares[0], abs=5e-6)
    assert (most_likely(found.target) == target).all()
    assert found.reference is not None
    rest = (maps[0, 0] - shares[0] * one_hot(target, CLASSES)) / (1 - shares[0])
    assert (most_likely(found.reference) == most_likely(rest)).all()


def test_one_share_unlike_equal_others_is_the_targets_even_in_one_view() -> None:
    maps, target, _ = mixed(np.array([[0.2, 0.4, 0.4]]))
    found = decoded(maps, Mixing(references=2, alpha_per="volume"))
    assert found.ordered
    assert (most_likely(found.target) == target).all()


def test_views_that_are_all_alike_tell_no_more_than_one() -> None:
    maps, _, _ = mixed(np.array([[0.3, 0.7]]))
    assert not decoded(maps.expand(3, -1, -1, -1, -1, -1), VOLUME).ordered
    one, _, _ = mixed(np.array([[0.3, 0.35, 0.35]]))
    assert decoded(one.expand(3, -1, -1, -1, -1, -1), Mixing(references=2, alpha_per="volume")).ordered


def test_patches_with_weights_of_their_own() -> None:
    positions = grid_positions(SHAPE, (8, 8, 8), (8, 8, 8))
    alphas = np.random.default_rng(0).uniform(0.1, 0.4, (3, len(positions)))
    target = cut(one_hot(PEOPLE[0], CLASSES), positions, (8, 8, 8))
    maps = torch.stack([
        torch.stack([float(a) * t + (1 - float(a)) * r for a, t, r in zip(row, target, other, strict=True)])
        for row, other in zip(
            alphas, (cut(one_hot(PEOPLE[n], CLASSES), positions, (8, 8, 8)) for n in (1, 2, 3)), strict=True
        )
    ])  # fmt: skip
    found = decoded(maps, Mixing(alpha_per="patch", fresh_alpha=True), positions)
    assert (most_likely(found.target) == PEOPLE[0]).all()
    np.testing.assert_allclose(found.alpha.numpy(), alphas, atol=5e-6)


def test_where_nothing_is_mixed_the_likeliest_label_is_the_answer() -> None:
    exact = decoded(one_hot(PEOPLE[0], CLASSES)[None, None], None)
    assert (most_likely(exact.target) == PEOPLE[0]).all()
    assert exact.reference is None
    assert exact.ordered
    soft = torch.lerp(one_hot(PEOPLE[0], CLASSES), torch.rand((CLASSES, *SHAPE), generator=torch.Generator()), 0.3)
    assert mean_dice(most_likely(decoded(soft[None, None], None).target), PEOPLE[0]) > 0.99


@pytest.mark.parametrize("views", [1, 4])
@pytest.mark.parametrize("mixing", [VOLUME, None])
def test_noise_alone_gains_nothing(views: int, mixing: Mixing | None) -> None:
    noise = torch.rand((views, 1, CLASSES, *SHAPE), generator=torch.Generator().manual_seed(1)).softmax(dim=2)
    found = decoded(noise, mixing)
    unseen = mean_dice(most_likely(PRIOR.frequencies), PEOPLE[0])
    assert mean_dice(most_likely(found.target), PEOPLE[0]) < unseen + 0.02
    assert not found.exact


def test_the_order_of_views_decides_nothing_about_the_target() -> None:
    maps, target, _ = mixed(np.array([[0.3, 0.7]] * 3))
    swapped = decoded(maps.flip(0), VOLUME)
    assert (most_likely(swapped.target) == target).all()
    assert torch.equal(swapped.alpha[0], decoded(maps, VOLUME).alpha[0])


def test_shares_are_told_from_values_only_where_so_few_sources_explain_them() -> None:
    maps, _, _ = mixed(np.array([[0.5, 0.3, 0.2]]))
    assert value_shares(maps[0, 0], 3) == pytest.approx([0.5, 0.3, 0.2], abs=1e-6)
    assert value_shares(maps[0, 0], 2) is None
    assert value_shares(one_hot(PEOPLE[0], CLASSES), 2) == pytest.approx([1.0])
    assert value_shares(torch.full((4, 2, 2, 2), 2.0), 2) is None
    assert distinct_values(torch.rand(1000, generator=torch.Generator()), 4) is None


def test_label_frequencies_are_a_prior_that_rules_nothing_out() -> None:
    assert float(PRIOR.frequencies.sum(dim=0).min()) == pytest.approx(1)
    assert float(PRIOR.frequencies.min()) > 0
    more = PRIOR.with_classes(6).frequencies
    assert more.shape[0] == 6
    assert float((more.sum(dim=0) - 1).abs().max()) < 1e-5
    with pytest.raises(DataError, match="somebody's label map"):
        LabelPrior.of([])


def test_grey_values_and_places_segment_an_image() -> None:
    images = [(labels / 4 + 0.02 * np.random.default_rng(n).standard_normal(SHAPE)).astype(np.float32)
              for n, labels in enumerate(PEOPLE)]  # fmt: skip
    grey = GreyValues.of(zip(images[20:], PEOPLE[20:], strict=True), CLASSES)
    assert grey.mean.tolist() == pytest.approx([0, 0.25, 0.5, 0.75], abs=0.01)
    found = most_likely(grey.classify(torch.from_numpy(images[0]), PRIOR))
    assert mean_dice(found, PEOPLE[0]) > 0.98
