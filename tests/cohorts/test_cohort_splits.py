"""Splits: by person, deterministic, stable, disjoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from privaudit.contracts.cohort import ROLES, Split, split_subjects
from privaudit.contracts.roles import assign_roles, divide
from privaudit.errors import DataError, OptionError
from privaudit.specs import SplitSpec, validate_spec

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


NAMES = [f"{n:02d}" for n in range(10)]


def spec(**roles: Any) -> SplitSpec:
    return validate_spec(SplitSpec, {}, roles, "test")


@pytest.mark.parametrize("shares", [(0.5, 0.25, 0.25), (0.4, 0.3, 0.3), (0.34, 0.33, 0.33)])
def test_rounding_leaves_nobody_out(shares: tuple[float, float, float]) -> None:
    for number in range(3, 50):
        counts = split_subjects([str(n) for n in range(number)], 0, *shares).counts()
        assert sum(counts.values()) == number
        for count, share in zip(counts.values(), shares, strict=True):
            assert abs(count - number * share) <= 1


@settings(max_examples=30)
@given(people, st.integers(), st.fixed_dictionaries({}, optional={r: st.integers(1, 9) for r in ROLES}))
def test_numbers_of_people_are_kept_and_shares_divide_the_rest(
    names: list[str], seed: int, counts: dict[str, int]
) -> None:
    try:
        split = assign_roles(names, spec(**counts), seed)
    except OptionError:
        assert sum(counts.values()) + 3 - len(counts) > len(names)
        return
    found = split.counts()
    assert {role: found[role] for role in counts} == counts
    assert len(counts) == 3 or sum(found.values()) == len(names)
    assert min(found.values()) >= 1


def test_shares_alone_are_what_they_were() -> None:
    assert assign_roles(NAMES, spec(), 4) == split_subjects(NAMES, 4)


def test_people_named_in_a_file_play_that_part(tmp_path: Path) -> None:
    (tmp_path / "patients.tsv").write_text("participant_id\tage\nsub-03\t70\n07  # first\n\n")
    split = assign_roles(NAMES, spec(victims=str(tmp_path / "patients.tsv"), pool=3), 0)
    assert split.victims == ("03", "07")
    assert split.counts() == {"victims": 2, "pool": 3, "population": 5}
    assert spec(victims=str(tmp_path / "patients.tsv")).told["victims"] == "patients.tsv"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("03\n99\n", "names 1 people who are not in the cohort; got '99' first"),
        ("# nobody", "names nobody"),
        ("03\nsub-03", "names somebody twice"),
    ],
)
def test_files_that_name_nobody_to_use(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "v.txt").write_text(text)
    with pytest.raises((OptionError, DataError), match=message):
        assign_roles(NAMES, spec(victims=str(tmp_path / "v.txt")), 0)


def test_roles_that_cannot_be_filled(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("03")
    named = str(tmp_path / "v.txt")
    with pytest.raises(DataError, match="one person is in two splits"):
        assign_roles(NAMES, spec(victims=named, pool=named), 0)
    with pytest.raises(OptionError, match="the roles need more people than there are: 10; got 9 victims, and somebody"):
        assign_roles(NAMES, spec(victims=9), 0)
    with pytest.raises(OptionError, match="no such file"):
        assign_roles(NAMES, spec(victims="nowhere.txt"), 0)
    for bad in (0, -1, 1.5, True, None, "", [1]):
        with pytest.raises(OptionError, match="must be a share above 0 and below 1, a number of people, or a file"):
            spec(victims=bad)


def test_dividing_leaves_nobody_over_and_nobody_empty() -> None:
    assert divide(3, {"a": 0.9, "b": 0.05, "c": 0.05}) == {"a": 1, "b": 1, "c": 1}
    assert divide(7, {"a": 0.5}) == {"a": 7}
