"""What cohorts know of people beside their scans: participants.tsv of BIDS, and what is planted in phantoms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from privaudit.cohorts.bids import BidsDataset
from privaudit.cohorts.participants import read_participants
from privaudit.cohorts.phantom import PhantomDataset, Recipe, attributes_of, draw_person, render
from privaudit.cohorts.planted import MODEL, as_planted
from privaudit.contracts.cohort import ScanId
from privaudit.errors import DataError

SHARED = Path(__file__).parents[3] / "shared" / "data" / "ds002748"


def test_age_and_sex_are_read_and_what_is_missing_is_left_out(tmp_path: Path) -> None:
    rows = [
        "participant_id\tgroup\tsex\tage",
        "sub-01\tx\tM\t39",
        "sub-02\ty\tfemale\tn/a",
        "sub-03\tz\tO\t41.5",
        "sub-04",
    ]
    (tmp_path / "participants.tsv").write_text("\n".join(rows) + "\n")
    assert read_participants(tmp_path) == {
        "01": {"age": 39.0, "sex": "M"}, "02": {"sex": "F"}, "03": {"age": 41.5}, "04": {},
    }  # fmt: skip
    assert read_participants(tmp_path / "nowhere") == {}


@pytest.mark.parametrize("age", ["old", "-3", "950", "inf"])
def test_an_age_that_is_none_is_an_error_that_does_not_repeat_it(age: str, tmp_path: Path) -> None:
    (tmp_path / "participants.tsv").write_text(f"participant_id\tage\nsub-01\t30\nsub-02\t{age}\n")
    with pytest.raises(DataError, match=r"participants\.tsv, line 3: the age is no number of years") as caught:
        read_participants(tmp_path)
    assert age not in str(caught.value).removeprefix(str(tmp_path))


def test_a_table_that_names_nobody_is_refused(tmp_path: Path) -> None:
    (tmp_path / "participants.tsv").write_text("name\tage\na\t30\n")
    with pytest.raises(DataError, match="no column 'participant_id'"):
        read_participants(tmp_path)


def test_a_bids_cohort_knows_its_people_and_so_do_its_rescans(tmp_path: Path, write_bids: Callable[..., Path]) -> None:
    root = write_bids(tmp_path / "data")
    plain = BidsDataset.from_values(root=str(root)).open(cache=tmp_path)
    assert plain.attributes("01") == {}
    (root / "participants.tsv").write_text("participant_id\tage\tsex\nsub-01\t39\tM\n")
    for options in ({}, {"rescans": 2}):
        cohort = BidsDataset.from_values(root=str(root), **options).open(cache=tmp_path)
        assert cohort.attributes("01") == {"age": 39.0, "sex": "M"}
        assert cohort.attributes("02") == {}
    assert BidsDataset.from_values(root=str(root)).open(cache=tmp_path).fingerprint == plain.fingerprint


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="no shared data")
def test_the_real_table() -> None:
    known = read_participants(SHARED)
    assert all(set(person) == {"age", "sex"} for person in known.values())
    assert len(known) >= 48


def test_nothing_is_planted_unless_asked_for(tmp_path: Path) -> None:
    assert repr(Recipe(4.0, 0, False)) == "Recipe(voxel_mm=4.0, seed=0, lesions=False)"  # its hash names the cache
    plain, planted = (
        PhantomDataset.from_values(subjects=3, sessions=1, voxel_mm=4, attributes=which).open(cache=tmp_path)
        for which in ("none", "planted")
    )
    assert plain.fingerprint != planted.fingerprint
    assert (
        plain.fingerprint
        == PhantomDataset.from_values(subjects=3, sessions=1, voxel_mm=4).open(cache=tmp_path).fingerprint
    )
    assert plain.attributes("P0001") == {}
    assert set(planted.attributes("P0001")) == {"age", "sex"}
    assert planted.marks_of("P0001") == plain.marks_of("P0001")


def test_who_is_young_and_male_is_as_without(tmp_path: Path) -> None:
    points = np.random.default_rng(0).uniform(-70, 70, (3, 50)).astype(np.float32)
    np.testing.assert_allclose(as_planted(points, MODEL.ages[0], "M"), points, atol=1e-4)


def test_sex_scales_the_head_and_age_widens_the_ventricles(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same person with other attributes: brain and CSF near the middle, in voxels."""
    recipe = Recipe(4.0, 0, False, planted=True)
    person = draw_person(recipe, "P0001")
    middle = np.linalg.norm(recipe.grid.points() - np.reshape(MODEL.middle, (3, 1, 1, 1)), axis=0) < 25

    def sizes(age: float, sex: str) -> tuple[int, int]:
        monkeypatch.setattr("privaudit.cohorts.phantom.attributes_of", lambda *_: {"age": age, "sex": sex})
        labels = render(recipe, person, ScanId("P0001")).labels
        return int((labels > 0).sum()), int((labels[middle] == 1).sum())

    young, old, woman = sizes(20, "M"), sizes(80, "M"), sizes(20, "F")
    assert 0.89 < woman[0] / young[0] < 0.94
    assert old[0] == pytest.approx(young[0], rel=0.03)
    assert old[1] > 1.2 * young[1]


def test_planted_attributes_are_drawn_evenly() -> None:
    known = [attributes_of(Recipe(4.0, 0, False, planted=True), f"P{n:04d}") for n in range(1, 201)]
    ages = np.array([person["age"] for person in known], dtype=float)
    assert 20 <= ages.min() < 25 < 75 < ages.max() <= 80
    assert 80 <= sum(person["sex"] == "M" for person in known) <= 120
