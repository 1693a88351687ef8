"""Where patches meet, the maps of one person go on."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from privaudit.contracts.scheme import Mixing
from privaudit.imaging.map_decoding import decode_maps
from privaudit.imaging.patches import Shape, cut, grid_positions, most_likely, one_hot
from privaudit.imaging.seams import find_order, seams
from tests.imaging.test_map_decoding import CLASSES, PEOPLE, PRIOR, SHAPE, mean_dice

SIZE: Shape = (8, 8, 8)
GRID = grid_positions(SHAPE, SIZE, SIZE)


def pieces(person: int, size: Shape = SIZE, stride: Shape = SIZE) -> np.ndarray:
    return cut(torch.from_numpy(PEOPLE[person].astype(np.int64)), grid_positions(SHAPE, size, stride), size).numpy()


@settings(max_examples=30, deadline=None)
@given(st.lists(st.booleans(), min_size=8, max_size=8), st.integers(0, 10))
@example([False] * 8, 8)
def test_turned_patches_are_turned_back_but_nobody_knows_whose_they_are(turned: list[bool], person: int) -> None:
    first, second = pieces(person), pieces(person + 1)
    some = np.array(turned)
    first[some], second[some] = second[some].copy(), first[some].copy()
    order = find_order(first, second, GRID)
    assert np.array_equal(order.swapped, some) or np.array_equal(order.swapped, ~some)
    assert not order.known


@settings(max_examples=30, deadline=None)
@given(st.lists(st.booleans(), min_size=8, max_size=8))
def test_with_a_reference_for_each_patch_the_target_is_who_goes_on(turned: list[bool]) -> None:
    target, others = pieces(0), np.stack([pieces(n + 1)[n] for n in range(len(GRID))])
    some = np.array(turned)[:, None, None, None]
    order = find_order(np.where(some, others, target), np.where(some, target, others), GRID)
    assert order.known
    assert np.array_equal(order.swapped, np.array(turned))


@pytest.mark.parametrize("stride", [8, 5, 4])
def test_seams_compare_the_same_places_or_the_faces_that_touch(stride: int) -> None:
    positions = grid_positions(SHAPE, SIZE, (stride,) * 3)
    at = torch.from_numpy(np.indices(SHAPE).astype(np.int64))
    places = cut(at, positions, SIZE).numpy()
    found = list(seams(positions, SIZE))
    assert found
    for one, other, here, there in found:
        near, far = places[(one, slice(None), *here)], places[(other, slice(None), *there)]
        distance = np.abs(near - far).reshape(3, -1)
        assert set(distance.sum(axis=0).tolist()) in ({0}, {1})
        assert (distance == distance[:, :1]).all()
    # Along each line of a grid without overlap, neighbours meet.
    if stride == 8:
        assert {(0, 1)} <= {(one, other) for one, other, *_ in found}
        assert len(found) == 12
    assert len({tuple(p) for p in positions.tolist()}) == len(positions)
    assert all(a <= b for a, b in pairwise(one for one, *_ in found))


def test_one_view_with_weight_and_reference_for_each_patch_tells_the_target() -> None:
    alphas = np.random.default_rng(0).uniform(0.1, 0.9, len(GRID))
    target = cut(one_hot(PEOPLE[0], CLASSES), GRID, SIZE)
    others = torch.stack([cut(one_hot(PEOPLE[n + 1], CLASSES), GRID, SIZE)[n] for n in range(len(GRID))])
    weight = torch.from_numpy(alphas).float()[:, None, None, None, None]
    maps = (weight * target + (1 - weight) * others)[None]
    found = decode_maps(maps, GRID, SHAPE, PRIOR, Mixing(alpha_per="patch", reference_per="patch"))
    assert found.exact
    assert found.ordered
    assert mean_dice(most_likely(found.target), PEOPLE[0]) == 1
    np.testing.assert_allclose(found.alpha.numpy()[0], alphas, atol=5e-6)
