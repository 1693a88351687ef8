"""Fields and warps: two ways to read one field agree, warps are diffeomorphisms, seeds are all that counts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from privaudit.cohorts.fields import Box, Field, Lattice, exponential, generator, jacobian, random_field, rotation
from privaudit.cohorts.reading_fields import channels_last, read_between

BOX = Box((-30.0, -40.0, -20.0), (30.0, 40.0, 20.0))


@pytest.mark.parametrize("order", [1, 3])
def test_reading_axis_by_axis_agrees_with_reading_points(order: int) -> None:
    field = random_field(generator("agree"), BOX, 9.0, [1.0, 2.0])
    field = Field(field.values, field.nodes, order)
    lattice = Lattice((-45.0, -30.5, -12.0), 3.7, (25, 17, 9))  # reaches beyond the box on one side
    np.testing.assert_allclose(field.on(lattice), field.at(lattice.points()), atol=2e-5)


def test_random_field_has_the_amplitude_asked_for() -> None:
    field = random_field(generator("amplitude"), BOX, 4.0, [0.5, 2.0]).on(BOX.lattice(1.3))
    np.testing.assert_allclose(field.std(axis=(1, 2, 3)), [0.5, 2.0], rtol=0.1)


def test_a_lattice_covers_its_box_and_margin() -> None:
    covered = BOX.lattice(7.0, margin=5.0).box
    np.testing.assert_array_equal(covered.low, (-35, -45, -25))
    assert np.all(np.array(covered.high) >= (35, 45, 25))


def test_exponential_of_the_negative_is_the_inverse() -> None:
    nodes = BOX.lattice(2.0, margin=16.0)
    velocity = random_field(generator("inverse"), BOX, 24.0, [3.0] * 3).on(nodes)
    there, back = exponential(Field(velocity, nodes)), exponential(Field(-velocity, nodes))
    points = BOX.lattice(5.0).points()
    moved = points + there.at(points)
    assert np.abs(moved - points).max() > 4
    np.testing.assert_allclose(moved + back.at(moved), points, atol=0.15)


def test_jacobian_of_a_known_stretch() -> None:
    nodes = BOX.lattice(2.0)
    stretch = nodes.points() * np.array([0.1, 0.2, -0.3], np.float32).reshape(3, 1, 1, 1)
    np.testing.assert_allclose(jacobian(Field(stretch, nodes)), 1.1 * 1.2 * 0.7, rtol=1e-5)


@given(st.tuples(*[st.floats(-180, 180)] * 3))
def test_rotations_keep_lengths_and_hands(degrees: tuple[float, float, float]) -> None:
    matrix = rotation(degrees)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(matrix) == pytest.approx(1)


def test_generators_depend_on_their_names_alone() -> None:
    assert generator("a", 1).random() == generator("a", "1").random()
    assert generator("a", 1).random() != generator("a1").random()
    assert generator("phantom", 0, "P0001").random() == 0.33355227771679263


@given(
    sides=st.tuples(*[st.integers(1, 7)] * 3), channels=st.integers(1, 4), order=st.sampled_from([1, 3]),
    seed=st.integers(0, 999),
)  # fmt: skip
def test_reading_between_nodes_is_scipys_to_the_last_bit(
    sides: tuple[int, int, int], channels: int, order: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((channels, *sides)).astype(np.float32)
    where = (rng.uniform(-0.5, 1.5, (3, 60)) * np.array(sides)[:, None]).astype(np.float32)
    where[:, :10] = np.round(where[:, :10])
    expected = [ndimage.map_coordinates(c, where, np.float32, order, mode="nearest", prefilter=False) for c in values]
    np.testing.assert_array_equal(read_between(channels_last(values), where, order), np.stack(expected))
