"""People are recognised by what tells them apart on the attacker's own people, and by nothing in noise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn.metrics import average_precision_score

from privaudit.auditing.scene import Scene
from privaudit.contracts import plugin
from privaudit.contracts.cohort import Cohort, Dataset, split_subjects
from privaudit.contracts.defense import Defense
from privaudit.imaging.atlas import Atlas
from privaudit.imaging.cubes import from_blocks, to_blocks
from privaudit.imaging.forms import FIRST, Chain
from privaudit.imaging.patches import as_tensor
from privaudit.learning.features import Feature, features_of
from privaudit.learning.inversion import Channels, Inverter, Reader
from privaudit.learning.recognition import WAYS, Recogniser, learn_comparison, learn_recogniser, map_of
from privaudit.msssim import DenseSimilarity
from privaudit.scoring.similarity.ranks import rank_queries
from privaudit.scoring.stats import chance_average_precision

# mean average precision ----------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(st.integers(2, 6), st.integers(2, 4), st.integers(0, 2**31))
def test_map_is_that_of_the_scores_and_of_scikit_learn(people: int, scans: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    owners = np.repeat(np.arange(people), scans).tolist()
    likeness = rng.standard_normal((len(owners),) * 2)
    likeness += likeness.T
    names = [f"P{owner}" for owner in owners]
    for same in (True, False):
        ranked = rank_queries(DenseSimilarity(likeness, symmetric=same), names, names, rng)
        found = map_of(likeness, owners, owners, same)
        assert found == pytest.approx(np.mean([row.average_precision for row in ranked]))
        rows = []
        for query, owner in enumerate(owners):
            others = [index for index in range(len(owners)) if index != query or not same]
            hits = np.array(owners)[others] == owner
            rows.append(average_precision_score(hits, likeness[query, others]))
        assert found == pytest.approx(np.mean(rows))


# ways to compare -----------------------------------------------------------------------------------------------


def sessions_of(people: int, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    """Vectors [P, 4, 8] in which the first component tells sessions, strongly, and the others people."""
    rng = np.random.default_rng(seed)
    found = np.repeat(rng.standard_normal((people, 1, 8)), 4, axis=1) + 0.1 * rng.standard_normal((people, 4, 8))
    found[..., 0] = 10 * rng.standard_normal((people, 4))
    return found


def reached(way: str) -> float:
    comparison = learn_comparison(way, sessions_of(12, 0), None)
    units = comparison.units(sessions_of(12, 1).reshape(48, 8), 0)
    owners = np.repeat(np.arange(12), 4).tolist()
    return map_of(units @ units.T, owners, owners, True)


def test_whitening_damps_what_tells_sessions() -> None:
    comparison = learn_comparison("whitened", sessions_of(12, 0), None)
    assert np.allclose(comparison.away @ comparison.away.T, np.eye(len(comparison.away)))
    assert ((comparison.damping >= 0) & (comparison.damping <= 1)).all()
    strongest = comparison.away[comparison.damping.argmax()]
    assert abs(strongest[0]) > 0.99
    session, person = comparison.units(comparison.means[0] + np.eye(8)[:2] / comparison.scale[:2, None], 0)
    assert abs(person[1]) > 0.99, "alone, it is only a direction"
    both = comparison.units(comparison.means[0] + (np.eye(8)[0] + np.eye(8)[1])[None] / comparison.scale, 0)[0]
    assert abs(both[0]) < 0.5 * abs(both[1])
    assert abs(session[0]) > 0.9
    assert reached("whitened") > reached("in standard deviations") + 0.05
    assert reached("in standard deviations") > reached("plain") + 0.05
    assert reached("whitened") > 0.95


@pytest.mark.parametrize("way", WAYS)
def test_kinds_are_centred_apart_and_vectors_have_a_length_of_one(way: str) -> None:
    sent = sessions_of(6, 0)
    raw = 3 + sessions_of(6, 1)
    comparison = learn_comparison(way, sent, raw)
    for kind, vectors in ((0, sent), (1, raw)):
        units = comparison.units(vectors.reshape(24, 8), kind)
        assert np.allclose(np.linalg.norm(units, axis=1), 1)
        assert not comparison.units(vectors.mean(axis=(0, 1))[None], kind).any(), "nothing is like nobody in particular"


@pytest.mark.parametrize("way", WAYS)
def test_a_feature_that_is_always_the_same_is_like_nothing(way: str) -> None:
    same = np.full((4, 3, 5), 0.3)
    units = learn_comparison(way, same, same).units(same.reshape(12, 5), 1)
    assert np.isfinite(units).all()
    assert np.abs(units).max() <= 1


# people --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cohort(thirdparty: Path) -> Cohort:
    return plugin.create("datasets", "blobs", Dataset, {"subjects": 48, "side": 28}).open()


@pytest.fixture
def scene_of(cohort: Cohort, zoo: Path) -> Callable[[str], Scene]:
    def make(name: str) -> Scene:
        return Scene(cohort, split_subjects(cohort.subjects, 0), plugin.create("defenses", name, Defense), 0)

    return make


def nothing_learned(atlas: Atlas) -> Inverter:
    return Inverter(Reader(Channels.of(atlas.mean), atlas), np.zeros(43), 1.0)


def learned(scene: Scene, gallery: bool, seed: int = 0) -> Recogniser:
    features = features_of([Chain(), Chain("sizes")], Chain("sizes"), nothing_learned(scene.atlas), scene.atlas)
    shares: list[float] = []
    found = learn_recogniser(scene.defense, scene.population, features, gallery, seed, shares.append)
    assert sum(shares) == pytest.approx(1)
    return found


SINGULAR = "singular values along each axis"


@pytest.mark.parametrize("gallery", [False, True])
def test_people_are_found_through_random_signs(gallery: bool, scene_of: Callable[[str], Scene]) -> None:
    scene = scene_of("zoo-signs")
    recogniser = learned(scene, gallery)
    assert recogniser.reached > (0.95 if gallery else 0.85)
    names = [feature.name for feature, _ in recogniser.members]
    assert len(set(names)) == len(names) > 1, "not one alone, though each finds nearly everybody"
    requests = scene.requests[:16] if gallery else scene.requests[:24]
    queries = [lambda r=r: scene.transcript(r).stitched() for r in requests]
    raw = [lambda r=r: as_tensor(scene.truth(r).image) for r in scene.requests[:20]]
    read: list[float] = []
    likeness = recogniser.likeness(queries, raw if gallery else None, read.append)
    assert sum(read) == (36 if gallery else 24)
    people = [scene.person(request) for request in requests]
    if gallery:
        assert likeness.shape == (16, 20)
        assert (likeness.argmax(axis=1) == np.arange(16)).mean() > 0.9
    else:
        assert np.array_equal(likeness, likeness.T)
        found = rank_queries(DenseSimilarity(likeness, symmetric=True), people, people, np.random.default_rng(0))
        assert len(found) >= 4, "who is there twice"
        assert np.mean([row.rank1 for row in found]) > 0.9


def test_nobody_is_said_to_be_found_in_noise_and_equal_seeds_give_equal_results(
    scene_of: Callable[[str], Scene],
) -> None:
    scene = scene_of("zoo-uniform-noise")
    first, again, other = (learned(scene, False, seed) for seed in (0, 0, 1))
    chance = chance_average_precision(3, 23)
    for recogniser in (first, other):
        assert recogniser.reached < chance + 0.12, "the best of many is a little above"
    assert again.reached == first.reached
    assert [feature.name for feature, _ in again.members] == [feature.name for feature, _ in first.members]
    for (_, one), (_, two) in zip(first.members, again.members, strict=True):
        assert np.array_equal(one.scale, two.scale)
        assert np.array_equal(one.damping, two.damping)
    assert other.reached != first.reached


# features ------------------------------------------------------------------------------------------------------


def features(atlas: Atlas) -> dict[str, Feature]:
    return {feature.name: feature for feature in features_of([Chain()], Chain(), nothing_learned(atlas), atlas)}


def test_what_no_move_of_voxels_changes() -> None:
    shape = (24, 26, 28)
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    found = features(Atlas(image, image))
    rolled = torch.roll(image, (3, 5, 7), dims=(0, 1, 2))
    assert torch.allclose(found["spectrum"].sent(rolled), found["spectrum"].sent(image), atol=5e-3)
    assert not torch.allclose(found["spectrum"].sent(image.square()), found["spectrum"].sent(image), atol=0.1)
    ordered = found["grey values in order, values"].sent
    assert torch.allclose(ordered(rolled), ordered(image), atol=0.05)
    assert (ordered(image).diff() >= 0).all()
    ordered_names = {f"grey values in order, {name}" for name in FIRST}
    assert set(found) == {"values", "spectrum", SINGULAR, "shapes of cubes in order", "last bits", *ordered_names}


def test_cubes_in_any_order_turned_and_scaled_keep_their_shapes() -> None:
    rng = np.random.default_rng(0)
    image = torch.from_numpy(ndimage.gaussian_filter(rng.standard_normal((24, 32, 24)), 1.5).astype(np.float32))
    shapes = features(Atlas(image, image))["shapes of cubes in order"].sent
    cubes = to_blocks(image, 8)[torch.from_numpy(rng.permutation(36))].reshape(-1, 8, 8, 8).transpose(1, 3).flatten(1)
    gain = torch.from_numpy(rng.uniform(0.5, 2, (36, 1)) * rng.choice([-1, 1], (36, 1))).float()
    moved = from_blocks(cubes * gain + torch.from_numpy(rng.normal(size=(36, 1))).float(), 8, image.shape)
    assert torch.allclose(shapes(moved), shapes(image), atol=1e-4)
    assert not torch.allclose(shapes(image.exp()), shapes(image), atol=0.1)
    assert torch.equal(shapes(torch.zeros(4, 9, 9)), torch.zeros(120)), "no cube, or none that is uneven"
    assert torch.equal(shapes(torch.ones(16, 16, 16)), torch.zeros(120))


def test_noise_in_float32_leaves_the_image_in_the_last_bits() -> None:
    image = torch.zeros(24, 24, 24)
    image[:12] = torch.linspace(0.01, 0.4, 24)
    bits = features(Atlas(image, image))["last bits"].sent
    noise = torch.rand(image.shape, generator=torch.Generator().manual_seed(0))
    seen = bits((image + noise) % 1).reshape(24, 24, 24)
    assert seen[13:].mean() == pytest.approx(0.5, abs=0.02)
    assert seen[:11, :, 18:22].mean() < 0.4, "the larger the voxel, the more often the sum has fewer digits"


def test_rotations_along_all_axes_keep_singular_values() -> None:
    rng = np.random.default_rng(0)
    image = torch.from_numpy(rng.random((24, 26, 28)).astype(np.float32))
    singular = features(Atlas(image, image))[SINGULAR].sent
    turned = image
    for axis, side in enumerate(image.shape):
        turn = torch.from_numpy(np.linalg.qr(rng.standard_normal((side, side)))[0].astype(np.float32))
        turned = torch.tensordot(turn, turned.movedim(axis, 0), dims=1).movedim(0, axis)
    expected = [np.linalg.svd(image.movedim(axis, 0).flatten(1).numpy(), compute_uv=False)[::-1] for axis in range(3)]
    for scan in (image, turned):
        assert np.allclose(singular(scan).numpy(), np.log(np.concatenate(expected) + 1e-3), atol=1e-4)
    assert not torch.allclose(singular(image.flip(0).square()), singular(image), atol=0.1)


@pytest.mark.parametrize("side", [28, 32, 35])
def test_grey_values_are_those_of_every_plane(side: int) -> None:
    image = torch.zeros((side,) * 3)
    ordered = features(Atlas(image, image))["grey values in order, values"].sent
    for axis in range(3):
        for plane in range(side):
            bright = image.clone()
            bright.select(axis, plane).fill_(1)
            assert ordered(bright)[-1] == 1, (axis, plane)


def test_what_the_de_encoder_learned_is_a_feature() -> None:
    atlas = Atlas(torch.rand(8, 8, 8), torch.ones(8, 8, 8))
    nothing = nothing_learned(atlas)
    something = Inverter(nothing.reader, np.ones(43), 0.5)
    names = [[f.name for f in features_of([], Chain(), inverter, atlas)] for inverter in (nothing, something)]
    assert set(names[1]) - set(names[0]) == {"de-encoded"}
