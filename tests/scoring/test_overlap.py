"""Dice and ICC against closed forms and an independent implementation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privaudit.scoring.overlap import dice, icc


def test_dice_of_known_overlaps() -> None:
    truth = np.array([1, 1, 1, 2, 0])
    assert dice(truth, truth, 1) == 1.0
    assert dice(np.array([1, 0, 0, 1, 0]), truth, 1) == pytest.approx(2 * 1 / (2 + 3))
    assert dice(np.zeros(5, int), truth, 2) == 0.0
    assert dice(np.ones(5, int), truth, 3) is None


@given(st.integers(0, 2**32 - 1))
def test_dice_is_symmetric_where_both_hold_the_label(seed: int) -> None:
    a, b = np.random.default_rng(seed).integers(0, 3, (2, 40))
    if (a == 1).any() and (b == 1).any():
        assert dice(a, b, 1) == dice(b, a, 1)


def ratings(n: int, k: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 1)) + 0.4 * rng.normal(size=(n, k)) + 0.2 * rng.normal(size=(1, k))


@pytest.mark.filterwarnings("ignore::Warning")  # pandas warns about pingouin
@pytest.mark.parametrize(("n", "k"), [(181, 2), (24, 2), (10, 4)])
def test_icc_is_that_of_pingouin(n: int, k: int) -> None:
    pytest.importorskip("pingouin", reason="the independent implementation is not installed")
    import pandas as pd
    import pingouin

    table = ratings(n, k)
    rows = [(i, j, table[i, j]) for i in range(n) for j in range(k)]
    frame = pd.DataFrame(rows, columns=["image", "reference", "dice"])
    result = pingouin.intraclass_corr(frame, "image", "reference", "dice")
    row = result[result["Type"].isin(["ICC3", "ICC(C,1)"])].iloc[0]
    ours = icc(table)
    assert ours is not None
    assert ours[0] == pytest.approx(float(row["ICC"]), abs=1e-9)
    bounds = row["CI95"] if "CI95" in row else row["CI95%"]
    assert ours[1] == pytest.approx(tuple(bounds), abs=0.006)  # it prints two decimals


def test_icc_bounds_are_the_ones_the_paper_prints() -> None:
    # .845 [.798, .881] with n = 181 and two references: the paper's first row. F follows from the coefficient.
    rng = np.random.default_rng(1)
    rows, noise = rng.normal(size=181), rng.normal(size=(181, 2))
    rows -= rows.mean()
    noise -= noise.mean(axis=0)
    noise -= noise.mean(axis=1, keepdims=True)
    rows /= np.sqrt((rows**2).sum() / 180)
    noise /= np.sqrt((noise**2).sum() / 180)
    f = (1 + 0.845) / (1 - 0.845)
    result = icc(np.sqrt(f / 2) * rows[:, None] + noise)
    assert result is not None
    assert result[0] == pytest.approx(0.845, abs=1e-9)
    # The formula gives .882 for the upper bound; the paper prints .881.
    assert result[1] == pytest.approx((0.798, 0.881), abs=1.5e-3)


def test_icc_says_nothing_where_nothing_varies() -> None:
    assert icc(np.ones((5, 2))) is None
    assert icc(np.ones((1, 2))) is None
    assert icc(np.arange(5.0)[:, None]) is None
    same = icc(np.repeat(np.arange(5.0)[:, None], 2, axis=1))
    assert same is not None
    assert same[0] == pytest.approx(1)
