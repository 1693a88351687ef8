"""``phantom``: people differ, sessions of one person do not by much, and everything can be made again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from privaudit.cohorts.anatomy import draw_anatomy
from privaudit.cohorts.fields import generator, jacobian
from privaudit.cohorts.phantom import PhantomCohort, PhantomDataset, Recipe
from privaudit.cohorts.template import BOX, template_hash
from privaudit.contracts.cohort import BRAIN_LABELS, TUMOUR_LABELS, Cohort, ScanId
from privaudit.errors import DataError, OptionError


def open_phantom(cache: Path, jobs: int = 1, **options: Any) -> PhantomCohort:
    values = {"subjects": 4, "sessions": 2, "voxel_mm": 4, **options}
    cohort: PhantomCohort = PhantomDataset.from_values(**values).open(cache=cache)
    cohort.prepare(cohort.scans, jobs)
    return cohort


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def cohort(cache: Path) -> PhantomCohort:
    return open_phantom(cache)


def test_what_it_says_of_itself(cohort: PhantomCohort) -> None:
    assert len(cohort) == 8
    assert cohort.subjects == ("P0001", "P0002", "P0003", "P0004")
    assert cohort.shape == (40, 48, 40)
    assert cohort.shareable
    assert cohort.simulated == "virtual subjects (warps of one template)"
    assert cohort.label_names == BRAIN_LABELS


@pytest.mark.parametrize(
    ("voxel_mm", "shape"), [(1.0, (144, 192, 160)), (1.5, (96, 128, 112)), (2.0, (72, 96, 80)), (4.0, (40, 48, 40))]
)
def test_the_grid_covers_one_box(voxel_mm: float, shape: tuple[int, int, int]) -> None:
    recipe = Recipe(voxel_mm, 0, False)
    assert recipe.shape == recipe.grid.shape == shape
    np.testing.assert_allclose(recipe.grid.box.centre, BOX.centre)
    assert np.all(np.subtract(recipe.grid.box.high, recipe.grid.box.low) + voxel_mm >= np.subtract(BOX.high, BOX.low))


def test_volumes_are_as_the_contract_says(cohort: PhantomCohort) -> None:
    for scan in cohort.scans:
        volume = cohort.load(scan)
        assert volume.image.shape == volume.labels.shape == cohort.shape
        assert (volume.image.dtype.name, volume.labels.dtype.name) == ("float32", "uint8")
        assert 0 <= volume.image.min() <= volume.image.max() <= 1
        assert set(np.unique(volume.labels)) == {0, 1, 2, 3}
        assert volume.image[volume.labels == 0].max() == 0  # the skull is stripped
        means = [volume.image[volume.labels == label].mean() for label in range(4)]
        assert means == sorted(means)
        litres = (volume.labels > 0).sum() * cohort.voxel_mm**3 / 1e6
        assert 1.8 < litres < 2.4


def test_sessions_are_more_alike_than_people(cohort: PhantomCohort) -> None:
    images = {scan: cohort.load(scan).image.ravel() for scan in cohort.scans}
    for scan in cohort.scans:
        alike = {other: np.corrcoef(images[scan], images[other])[0, 1] for other in cohort.scans if other != scan}
        assert max(alike, key=lambda other: alike[other]).subject == scan.subject


def test_people_are_smooth_one_to_one_warps() -> None:
    for number in range(6):
        person = draw_anatomy(generator("test", number))
        assert jacobian(person.displacement).min() > 0.1
        assert 0.5 < np.abs(person.displacement.values).mean() < 5


def test_the_same_people_at_every_voxel_size(cache: Path, cohort: PhantomCohort) -> None:
    finer = open_phantom(cache, voxel_mm=3, sessions=1, subjects=3)
    for subject in finer.subjects:
        counts = [np.bincount(c.load(ScanId(subject, "1")).labels.ravel(), minlength=4)[1:] for c in (cohort, finer)]
        rough, fine = (count / count.sum() for count in counts)
        np.testing.assert_allclose(rough, fine, atol=0.03)


def files_of(cohort: PhantomCohort) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(cohort.folder.iterdir())}


def test_two_generations_are_equal_whatever_the_jobs(
    tmp_path: Path, cohort: PhantomCohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    again = open_phantom(tmp_path, jobs=2)
    assert again.fingerprint == cohort.fingerprint
    assert files_of(again) == files_of(cohort)


def test_what_the_fingerprint_depends_on(cache: Path, cohort: PhantomCohort) -> None:
    variants: list[dict[str, Any]] = [{"seed": 1}, {"subjects": 3}, {"sessions": 1}, {"lesions": True}, {"voxel_mm": 3}]
    prints = {
        PhantomCohort(
            PhantomDataset.from_values(**{"subjects": 4, "sessions": 2, "voxel_mm": 4, **v}).options, cache
        ).fingerprint
        for v in variants
    }
    assert len(prints | {cohort.fingerprint}) == len(variants) + 1


def test_a_person_does_not_depend_on_how_many_there_are(cache: Path, cohort: PhantomCohort) -> None:
    kept = {path: path.stat().st_mtime_ns for path in cohort.folder.iterdir()}
    more = open_phantom(cache, subjects=5)
    assert more.folder == cohort.folder
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    for path in set(more.folder.iterdir()) - set(kept):
        path.unlink()


def test_the_cache_resumes_and_heals(tmp_path: Path) -> None:
    cohort = open_phantom(tmp_path, subjects=3)
    whole = files_of(cohort)
    gone, damaged = cohort.path(cohort.scans[1]), cohort.path(cohort.scans[4])
    gone.unlink()
    untouched = cohort.path(cohort.scans[0]).stat().st_mtime_ns
    assert files_of(open_phantom(tmp_path, subjects=3)) == whole
    assert cohort.path(cohort.scans[0]).stat().st_mtime_ns == untouched
    content = bytearray(whole[damaged.name])
    content[len(content) // 2] ^= 0xFF
    for bad in (bytes(content), b"", whole[damaged.name][:1000]):
        damaged.write_bytes(bad)
        assert cohort.load(cohort.scans[4]).image.any()
        assert files_of(cohort) == whole
    assert not list(tmp_path.rglob(".tmp-*"))


def test_the_template_is_hashed_once(cache: Path, cohort: PhantomCohort, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("privaudit.cohorts.template._load", lambda: pytest.fail("read again"))
    assert len(template_hash(cache / "phantom")) == 64


def test_lesions(cache: Path) -> None:
    cohort = open_phantom(cache, lesions=True)
    assert cohort.label_names == TUMOUR_LABELS
    for subject in cohort.subjects:
        first, second = (cohort.load(scan) for scan in cohort.sessions_of(subject))
        assert set(np.unique(first.labels)) == {0, 1, 2, 3}
        assert 2 < (first.labels > 0).sum() * cohort.voxel_mm**3 / 1000 < 200  # millilitres
        core, oedema, rim = (float(first.image[first.labels == label].mean()) for label in (1, 2, 3))
        assert core < oedema < rim
        overlap = ((first.labels > 0) & (second.labels > 0)).sum() / ((first.labels > 0) | (second.labels > 0)).sum()
        assert overlap > 0.5  # the same tumour, in another pose


def test_no_bar_where_nobody_watches(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    PhantomDataset.from_values(subjects=3, sessions=1, voxel_mm=4).open(cache=tmp_path, quiet=False)
    assert capfd.readouterr() == ("", "")


def test_options_out_of_range(cache: Path, cohort: PhantomCohort) -> None:
    for values in ({"subjects": 2}, {"sessions": 0}, {"voxel_mm": "0.5"}, {"seed": "x"}):
        with pytest.raises(OptionError, match="'phantom' option"):
            PhantomDataset.from_values(**values)
    with pytest.raises(DataError, match="no such scan"):
        cohort.load(ScanId("P0009"))


def test_a_virtual_person_is_recognised_by_seed_and_name(tmp_path: Path) -> None:
    """Voxels may differ in the last digit from machine to machine, and with the voxel size altogether."""

    def cohort(**options: Any) -> Cohort:
        made: Cohort = PhantomDataset.from_values(subjects=3, **{"voxel_mm": 4.0, **options}).open(cache=tmp_path)
        return made

    marks = cohort().marks_of("P0002")
    assert marks == cohort(voxel_mm=3.0, sessions=1).marks_of("P0002")
    assert marks.isdisjoint(cohort(seed=1).marks_of("P0002") | cohort().marks_of("P0001"))
