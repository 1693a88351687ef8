"""Joint unmixing against images that are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privaudit.imaging.joint import Solution, design, solve
from privaudit.imaging.joint_fresh import solve_fresh
from privaudit.imaging.shared_references import rank_of, share_references

SPREAD, MEAN = 0.08, 0.5
DIGITS = {np.float32: 2.0**-24, np.float16: 2.0**-11}


class Sent:
    """Mixtures of random images, as a server receives them: rows [n, K, T] beyond the atlas, in standard deviations."""

    def __init__(
        self, n: int, pool: int, views: int, *, fresh: bool = False, references: int = 1, seed: int = 0,
        dtype: Any = np.float32, reuse: bool = True, voxels: int = 1500,
    ) -> None:  # fmt: skip
        rng = np.random.default_rng(seed)
        total = pool if reuse else n * views * references
        self.targets, self.references = rng.normal(size=(n, voxels)), rng.normal(size=(total, voxels))
        if reuse:
            self.used = np.stack([[rng.permutation(pool)[:references] for _ in range(views)] for _ in range(n)])
            if references == 1:
                self.used = np.stack([rng.permutation(pool)[:views] for _ in range(n)])[..., None]
        else:
            self.used = np.arange(total).reshape(n, views, references)
        self.used.sort(axis=2)
        self.alpha = rng.uniform(0.05, 0.98, (n, views if fresh else 1))
        mixed = self.references[self.used].mean(axis=2)
        alpha = self.alpha[..., None]
        sent = alpha * (MEAN + SPREAD * self.targets)[:, None] + (1 - alpha) * (MEAN + SPREAD * mixed)
        self.rows = (sent.astype(dtype).astype(np.float64) - MEAN) / SPREAD

    def pure(self, found: np.ndarray) -> bool:
        """Whether views that were said to share a reference do."""
        return all(len({tuple(used) for used in self.used[found == one]}) == 1 for one in np.unique(found))

    def errors(self, solution: Solution, of: slice = slice(None)) -> np.ndarray:
        """Root mean square error of each target that was solved for, in standard deviations."""
        rows, targets = self.rows[of], self.targets[of]
        images = solution.weights[: len(rows)] @ rows.reshape(-1, rows.shape[-1])
        return np.asarray(np.sqrt(((images - targets) ** 2).mean(axis=1)))


def _rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("pool", [12, 24])
def test_shared_weights_and_references_are_found(pool: int, dtype: Any) -> None:
    sent = Sent(16, pool, 8, dtype=dtype)
    solution = solve(sent.rows, _rng())
    assert sent.pure(solution.reference)
    assert solution.linked.all()
    assert np.abs(solution.alpha - sent.alpha[:, 0]).max() < 0.01
    assert solution.residual < 1e-4
    # Of its own views alone a target keeps much more of its references.
    alone = [sent.errors(solve(sent.rows[[i]], _rng()), slice(i, i + 1))[0] for i in range(4)]
    assert np.median(alone) > 2 * np.median(sent.errors(solution)[:4])


@pytest.mark.parametrize(("dtype", "allowed"), [(np.float32, 1e-4), (np.float16, 1e-2)])
@pytest.mark.parametrize("pool", [12, 24])
def test_fresh_weights_give_everything_exactly(pool: int, dtype: Any, allowed: float) -> None:
    sent = Sent(16, pool, 8, fresh=True, dtype=dtype)
    solution = solve_fresh(sent.rows, DIGITS[dtype])
    assert solution is not None
    assert sent.errors(solution).max() < allowed
    assert sent.pure(solution.reference)
    assert np.abs(solution.alpha - sent.alpha).max() < allowed


def test_rank_counts_images_and_shows_reuse() -> None:
    for dtype, digits in DIGITS.items():
        again = Sent(10, 12, 6, dtype=dtype)
        assert rank_of(again.rows.reshape(60, -1), digits) == 10 + 12 - 1
        fresh = Sent(10, 12, 6, fresh=True, dtype=dtype)
        assert rank_of(fresh.rows.reshape(60, -1), digits) == 10 + 12
        never = Sent(10, 12, 6, reuse=False, dtype=dtype)
        assert rank_of(never.rows.reshape(60, -1), digits) == 60


def test_without_reuse_nothing_is_linked_and_nothing_is_made_up() -> None:
    sent = Sent(10, 0, 6, reuse=False)
    solution = solve(sent.rows, _rng())
    assert not solution.linked.any()
    assert np.unique(solution.reference).size == 60
    assert solve_fresh(Sent(10, 0, 6, reuse=False, fresh=True).rows, DIGITS[np.float32]) is None


def test_several_references_in_a_mixture_count_as_one() -> None:
    sent = Sent(24, 12, 8, references=2)
    solution = solve(sent.rows, _rng(), 2)
    assert sent.pure(solution.reference)
    assert solution.residual < 1e-6
    assert np.median(np.abs(solution.alpha - sent.alpha[:, 0])) < 0.03


def test_what_is_no_mixture_leaves_a_residual_or_no_link() -> None:
    noise = np.random.default_rng(0).normal(size=(10, 6, 1500))
    solution = solve(noise, _rng())
    assert not solution.linked.any()
    assert rank_of(noise.reshape(60, -1)) == 60


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), fresh=st.booleans())
def test_the_order_of_requests_changes_nothing(seed: int, fresh: bool) -> None:
    sent = Sent(8, 10, 6, seed=seed, fresh=fresh, voxels=800)
    order = np.random.default_rng(seed).permutation(8)
    if fresh:
        one, two = solve_fresh(sent.rows, DIGITS[np.float32]), solve_fresh(sent.rows[order], DIGITS[np.float32])
        assert one is not None
        assert two is not None
    else:
        one, two = solve(sent.rows, _rng()), solve(sent.rows[order], _rng())
    images = one.weights[:8] @ sent.rows.reshape(48, -1)
    again = two.weights[:8] @ sent.rows[order].reshape(48, -1)
    assert np.abs(images[order] - again).max() < 0.02


def test_equal_seeds_equal_solutions() -> None:
    sent = Sent(8, 10, 6)
    assert np.array_equal(solve(sent.rows, _rng()).weights, solve(sent.rows, _rng()).weights)


def test_a_planted_leak_is_no_obstacle() -> None:
    """Views that carry a share of the target beside the mixture still differ by references alone."""
    sent = Sent(16, 12, 8)
    sent.rows = 0.8 * sent.rows + 0.2 * sent.targets[:, None]
    assert sent.pure(solve(sent.rows, _rng()).reference)


def test_weights_of_rows_add_up_to_one() -> None:
    sent = Sent(6, 10, 4)
    used = np.unique(sent.used[..., 0], return_inverse=True)[1].reshape(6, 4)
    assert np.allclose(design(sent.alpha[:, 0], used).sum(axis=1), 1)
    assert share_references(sent.rows, _rng()).scale.shape == (6,)
