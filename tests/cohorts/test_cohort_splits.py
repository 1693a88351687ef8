"""Splits: by person, deterministic, stable, disjoint."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from privaudit.contracts.cohort import ROLES, Split, split_subjects
from privaudit.errors import DataError, OptionError

people = st.lists(st.text(min_size=1, max_size=6), min_size=3, max_size=60, unique=True)
shares = st.tuples(*[st.floats(0.05, 0.33)] * 3)


@given(people, st.integers(), shares)
def test_disjoint_complete_in_roles_and_deterministic(
    names: list[str], seed: int, parts: tuple[float, float, float]
) -> None:
    split = split_subjects(names, seed, *parts)
    chosen = [name for role in ROLES for name in getattr(split, role)]
    assert len(chosen) == len(set(chosen))
    assert set(chosen) <= set(names)
    assert all(getattr(split, role) for role in ROLES)
    assert split_subjects(names[::-1], seed, *parts) == split


@given(people)
def test_shares_are_kept_when_they_are_whole_numbers(names: list[str]) -> None:
    names = names[: len(names) // 4 * 4]
    if len(names) >= 4:
        counts = split_subjects(names, 0).counts()
        assert counts == {"victims": len(names) // 2, "pool": len(names) // 4, "population": len(names) // 4}


def test_the_order_does_not_change_between_versions() -> None:
    split = split_subjects([f"P{n:04d}" for n in range(1, 9)], seed=0)
    assert split.victims == ("P0004", "P0005", "P0006", "P0007")
    assert split.pool == ("P0001", "P0008")


def test_another_seed_gives_another_split() -> None:
    names = [f"P{n:04d}" for n in range(48)]
    assert split_subjects(names, 0).victims != split_subjects(names, 1).victims


def test_one_person_in_two_splits() -> None:
    with pytest.raises(DataError, match=r"one person is in two splits \('victims' and 'population'\); give every"):
        Split(victims=("a", "b"), pool=("c",), population=("b",))


def test_bad_requests() -> None:
    with pytest.raises(DataError, match="listed twice"):
        split_subjects(["a", "a", "b", "c"], 0)
    with pytest.raises(DataError, match="too few subjects to split; got 2"):
        split_subjects(["a", "b"], 0)
    with pytest.raises(OptionError, match="add up to at most 1"):
        split_subjects(["a", "b", "c"], 0, 0.8, 0.2, 0.2)
