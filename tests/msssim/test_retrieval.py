"""Retrieval with pruning gives what the full matrix gives, to the last bit, in any order and any memory."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from privaudit.errors import DataError, OptionError
from privaudit.msssim import (
    DenseSimilarity,
    MsssimSimilarity,
    Profile,
    count_above,
    memory_plan,
    ms_ssim,
    threshold_at_fpr,
    top_k,
)

TINY = Profile("tiny", levels=3, window=3)
SHAPE = (17, 16, 19)


def scans(seed: int, n: int = 14) -> list[Tensor]:
    """Volumes of which pairs are alike, and some are copies, so that ties occur."""
    generator = torch.Generator().manual_seed(seed)
    volumes: list[Tensor] = []
    for number in range(n):
        coarse = torch.rand(1, 1, 5, 5, 5, generator=generator)
        own = torch.nn.functional.interpolate(coarse, size=SHAPE, mode="trilinear")[0, 0]
        if number % 3 and volumes:
            own = (volumes[-1] + 0.1 * torch.randn(SHAPE, generator=generator)).clamp(0, 1)
        volumes.append(volumes[number // 2].clone() if number % 5 == 4 else own)
    return volumes


def dense(sim: MsssimSimilarity) -> np.ndarray:
    return np.stack([sim.exact(i, range(sim.n_gallery)) for i in range(sim.n_queries)])


def least_memory(n: int, shape: tuple[int, int, int] = SHAPE) -> int:
    with pytest.raises(OptionError, match="at least") as caught:
        memory_plan(n, shape, TINY, memory_bytes=1)
    return int(str(caught.value.allowed).split()[-1])


@pytest.mark.parametrize("limited", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_self_retrieval_equals_the_full_matrix(seed: int, limited: bool) -> None:
    volumes = scans(seed)
    memory = least_memory(len(volumes)) if limited else 2**30
    full = DenseSimilarity(dense(MsssimSimilarity(volumes, profile=TINY)), symmetric=True)
    sim = MsssimSimilarity(volumes, profile=TINY, memory_bytes=memory)
    mask = np.ones((sim.n_queries, sim.n_gallery), dtype=bool)
    assert threshold_at_fpr(sim, mask, 0.1) == threshold_at_fpr(full, mask, 0.1)
    for i in np.random.default_rng(seed).permutation(sim.n_queries).tolist():
        for k, exclude in ((1, []), (4, [0, 5])):
            ours, theirs = top_k(sim, i, k, exclude), top_k(full, i, k, exclude)
            assert ours[0].tolist() == theirs[0].tolist()
            assert ours[1].tolist() == theirs[1].tolist()
        value = float(full.exact(i, [(i + 1) % sim.n_gallery])[0])
        assert count_above(sim, i, value) == count_above(full, i, value)
    assert (sim.cache.loads > sim.n_queries) == limited
    assert sim.computed[0] <= sim.computed[1] <= sim.computed[2] <= sim.pairs == 91
    assert np.array_equal(dense(sim), full.exact(slice(None), range(sim.n_gallery)))  # type: ignore[arg-type]
    assert sim.known_fraction == 1


@pytest.mark.parametrize("limited", [False, True])
def test_queries_against_another_gallery(limited: bool) -> None:
    volumes = scans(3)
    queries, gallery = volumes[:4], volumes[2:]
    memory = least_memory(16) if limited else 2**30
    loaders = [partial(gallery.__getitem__, j) for j in range(12)]
    sim = MsssimSimilarity(queries, loaders, profile=TINY, memory_bytes=memory)
    assert (sim.n_queries, sim.n_gallery, sim.symmetric, sim.pairs) == (4, 12, False, 48)
    assert top_k(sim, 3, 1)[0].tolist() == [1]
    assert 0 < sim.known_fraction < 1
    direct = [[float(ms_ssim(q[None], g[None], TINY)) for g in gallery] for q in queries]
    np.testing.assert_allclose(dense(sim), direct, atol=1e-6, rtol=0)


def test_values_do_not_depend_on_the_order_of_asking() -> None:
    volumes = scans(4, n=70)
    forward, backward = MsssimSimilarity(volumes, profile=TINY), MsssimSimilarity(volumes, profile=TINY)
    expected = dense(forward)
    for i in reversed(range(70)):
        assert np.array_equal(backward.exact(i, [69 - i, 3]), expected[i, [69 - i, 3]])
    assert np.array_equal(dense(backward), expected)
    assert np.array_equal(expected, expected.T)
    assert (np.diag(expected) == -np.inf).all()


@pytest.mark.parametrize("limited", [False, True])
def test_pruning_saves_the_finest_level(limited: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    volumes = [torch.rand(64, 64, 70, generator=generator) for _ in range(6)]
    volumes += [(v + 0.05).clamp(0, 1) for v in volumes]
    memory = least_memory(12, (64, 64, 70)) if limited else 2**30
    sim = MsssimSimilarity(volumes, profile=TINY, memory_bytes=memory)
    assert [int(top_k(sim, i, 1)[0][0]) for i in range(12)] == [(i + 6) % 12 for i in range(12)]
    assert sim.computed[0] == 6
    assert (sim.cache.loads > 12) == limited
    everything = MsssimSimilarity(volumes, profile=TINY)
    for i in (3, 7):
        assert np.array_equal(sim.exact(i, [0, 11, 5]), everything.exact(i, [0, 11, 5]))


@given(st.integers(0, 2**16), st.floats(0, 1))
@settings(max_examples=25, deadline=None)
def test_bounds_are_never_below_the_value(seed: int, threshold: float) -> None:
    sim = MsssimSimilarity(scans(seed, n=6), profile=TINY)
    everyone = range(6)
    for i in everyone:
        first, refined, value = sim.upper(i), sim.refine(i, everyone, threshold), sim.exact(i, everyone)
        assert (first >= value).all()
        assert (refined >= value).all()
        assert (refined[refined >= threshold] == value[refined >= threshold]).all()


def test_memory_is_what_was_planned() -> None:
    volumes = scans(5)
    for budget in (least_memory(14), least_memory(14) + 200_000, 2**30):
        plan = memory_plan(14, SHAPE, TINY, budget)
        sim = MsssimSimilarity(volumes, profile=TINY, memory_bytes=budget)
        dense(sim)
        assert plan["total"] <= budget
        assert plan["total"] == sum(size for name, size in plan.items() if name != "total")
        assert sim.nbytes == plan["total"] - plan["loading"] - plan["buffers"]


def test_memory_of_a_large_cohort_stays_within_the_budget() -> None:
    for budget in (2**31, 2**33, 2**36):
        plan = memory_plan(773, (144, 192, 160), Profile("volume", 5, 9), budget)
        assert plan["total"] <= budget
        assert plan["level 4"] > 773 * 4 * 9 * 12 * 10


def test_wrong_volumes() -> None:
    good = torch.rand(SHAPE)
    bad = good.clone()
    bad[3, 3, 3] = torch.nan
    with pytest.raises(DataError, match="volume 1 holds values that are not finite"):
        MsssimSimilarity([good, bad], profile=TINY).upper(0)
    with pytest.raises(DataError, match="volume 1 has another shape"):
        MsssimSimilarity([good], [good[1:]], profile=TINY).upper(0)
    with pytest.raises(OptionError, match="needs volumes"):
        MsssimSimilarity([])
    with pytest.raises(OptionError, match="needs volumes"):
        MsssimSimilarity([good], [])
    with pytest.raises(OptionError, match="at least 28"):
        MsssimSimilarity([good])
    with pytest.raises(OptionError, match="memory_bytes is too small"):
        MsssimSimilarity([good, good], profile=TINY, memory_bytes=1000)
