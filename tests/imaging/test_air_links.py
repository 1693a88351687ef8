"""Who shares a reference, told by air: against mixtures whose references are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from privaudit.imaging.air_links import rim, share_by_air
from privaudit.imaging.joint_single import link
from privaudit.imaging.shared_references import Shared

SHAPE = (24, 24, 24)
DIGITS = {"float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8}
Images = NDArray[np.float32]


def heads(count: int, rng: np.random.Generator, air: float = 0.0) -> Images:
    """Balls whose rim differs from head to head, grey values within, ``air`` around."""
    place = np.stack(np.meshgrid(*(np.linspace(-1, 1, side) for side in SHAPE), indexing="ij"))
    out = []
    for _ in range(count):
        radius = 0.7 + 2.0 * ndimage.gaussian_filter(rng.normal(size=SHAPE), 3)
        grey = 0.5 + 0.3 * ndimage.gaussian_filter(rng.normal(size=SHAPE), 0.5)
        around = air * rng.uniform(0.5, 1, SHAPE)
        out.append(np.where((place**2).sum(axis=0) < radius**2, grey.clip(0.1, 1), around))
    return np.asarray(out, dtype=np.float32)


def sent_as(views: Images, precision: str) -> Images:
    return np.asarray(torch.from_numpy(views).to(getattr(torch, precision)).float().numpy())


def mixtures(
    seed: int, n: int = 16, pool: int = 4, air: float = 0.0, precision: str = "float32"
) -> tuple[Shared | None, NDArray[np.int64], NDArray[np.float64]]:
    """What is found in n mixtures, and the references and weights that were used."""
    rng = np.random.default_rng(seed)
    people, targets, references = heads(6, rng, air), heads(n, rng, air), heads(pool, rng, air)
    used = rng.permutation(np.arange(n) % pool)
    alpha = rng.uniform(0.05, 0.97, n)
    weight = alpha.astype(np.float32)[:, None, None, None]
    views = sent_as(weight * targets + (1 - weight) * references[used], precision)
    edge, one, two = rim(people)
    return share_by_air(views[:, edge], one, two, DIGITS[precision]), used, alpha


@pytest.mark.parametrize("precision", ["float32", "float16"])
def test_air_tells_who_shares_a_reference_and_in_which_ratio(precision: str) -> None:
    shared, used, alpha = mixtures(0, precision=precision)
    assert shared is not None
    assert np.array_equal(np.equal.outer(shared.group, shared.group), np.equal.outer(used, used))
    for group in np.unique(shared.group):
        ratio = np.log(shared.scale / (1 - alpha))[shared.group == group]
        assert np.ptp(ratio) < 4 * DIGITS[precision]


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(1, 10**6))
def test_no_two_mixtures_are_said_to_share_that_do_not(seed: int) -> None:
    shared, used, _ = mixtures(seed)
    assert shared is not None
    assert not (np.equal.outer(shared.group, shared.group) & ~np.equal.outer(used, used)).any()


def test_the_order_of_the_requests_says_nothing() -> None:
    rng = np.random.default_rng(3)
    people, targets, references = heads(6, rng), heads(8, rng), heads(3, rng)
    views = 0.4 * targets + 0.6 * references[np.arange(8) % 3]
    edge, one, two = rim(people)
    turn = rng.permutation(8)
    found = [share_by_air(some[:, edge], one, two, DIGITS["float32"]) for some in (views, views[turn])]
    assert all(some is not None for some in found)
    groups: list[Any] = [np.equal.outer(some.group, some.group) for some in found if some is not None]
    assert np.array_equal(groups[0][np.ix_(turn, turn)], groups[1])


def test_references_that_are_used_once_are_said_to_be() -> None:
    shared, _, _ = mixtures(0, n=12, pool=12)
    assert shared is not None
    assert len(np.unique(shared.group)) == 12


def test_without_air_nothing_is_told() -> None:
    shared, _, _ = mixtures(0, air=0.02)
    assert shared is None


@pytest.mark.parametrize("seed", range(3))
def test_few_levels_tell_nothing(seed: int) -> None:
    """Equal quotients are no news there: neither that a reference is shared, nor that none is."""
    rng = np.random.default_rng(seed)
    people, targets, references = heads(6, rng), heads(12, rng), heads(12, rng)
    edge, one, two = rim(people)
    levels = 0.4 * np.rint(2 * targets) / 2 + 0.6 * np.rint(2 * references) / 2
    in_bytes = np.rint(255 * (0.4 * targets + 0.6 * references[np.arange(12) % 3])) / 255
    for views in (levels, in_bytes):
        assert share_by_air(views[:, edge].astype(np.float32), one, two, DIGITS["float32"]) is None


def test_noise_shares_nothing() -> None:
    rng = np.random.default_rng(0)
    edge, one, two = rim(heads(6, rng))
    noise = rng.uniform(size=(16, int(edge.sum()))).astype(np.float32)
    for precision, digits in DIGITS.items():
        assert share_by_air(sent_as(noise, precision), one, two, digits) is None


def test_known_references_make_people_easier_to_find() -> None:
    """Two scans each of twelve people, four references, covariances as they are expected but for sampling noise."""
    rng = np.random.default_rng(0)
    n, voxels, rho = 24, 3000, 0.6
    person, used = np.arange(n) // 2, rng.permutation(np.arange(n) % 4)
    alpha = rng.uniform(0.1, 0.95, n)
    own = rng.normal(size=(n // 2, voxels))
    targets = np.sqrt(rho) * own[person] + np.sqrt(1 - rho) * rng.normal(size=(n, voxels))
    rows = alpha[:, None] * targets + (1 - alpha)[:, None] * rng.normal(size=(4, voxels))[used]
    covariance = rows @ rows.T / voxels
    shared = Shared(used[:, None], used, (1 - alpha) * 3.0)

    def pairs(found: Any) -> int:
        same = np.equal.outer(found.person, found.person) & np.equal.outer(person, person)
        return int(np.triu(same, 1).sum())

    blind, told = link(covariance, 0.45), link(covariance, 0.45, shared)
    assert np.array_equal(np.equal.outer(told.reference, told.reference), np.equal.outer(used, used))
    assert pairs(told) >= max(10, pairs(blind))
    assert np.abs(told.alpha - alpha).max() < 0.05
    ratio = (1 - told.alpha) / (1 - alpha)
    assert all(np.ptp(ratio[used == one]) < 1e-9 for one in range(4))
