"""The shared real brains, where they are: read as their README says, and close to the phantom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from privaudit.cohorts.bids import BidsDataset
from privaudit.cohorts.calibration import deep_texture, loaded, pairs_of, similarity, table, tissue_volumes
from privaudit.cohorts.phantom import PhantomDataset
from privaudit.cohorts.rescans import RescanCohort

BRAINS = Path(__file__).parents[3] / "shared" / "data" / "ds002748"

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not BRAINS.is_dir(), reason=f"the shared brains are not at {BRAINS}"),
]


def open_brains(cache: Path, subjects: int) -> RescanCohort:
    dataset = BidsDataset.from_values(root=str(BRAINS), rescans="2", intensity="1500", subjects=str(subjects))
    cohort: RescanCohort = dataset.open(cache=cache)
    return cohort


def test_they_open_as_described(tmp_path: Path) -> None:
    cohort = open_brains(tmp_path, 48)
    assert (len(cohort.subjects), len(cohort), cohort.shape, cohort.voxel_mm) == (48, 96, (96, 128, 112), 1.5)
    volume = cohort.load(cohort.scans[0])
    assert float(np.median(volume.image[volume.labels == 3])) == pytest.approx(1000 / 1500, abs=0.02)
    assert volume.image[volume.labels == 1].mean() < volume.image[volume.labels == 2].mean()


def test_a_rescan_is_nearer_to_its_person_than_to_others(tmp_path: Path) -> None:
    cohort = open_brains(tmp_path, 3)
    between, within = pairs_of(cohort, 3)
    alike, different = (similarity(loaded(cohort, pairs)) for pairs in (within, between))
    assert alike.min() > 0.93 > 0.85 > different.max()
    same, other = (deep_texture(cohort, pairs).mean() for pairs in (within, between))
    assert abs(other) < 0.05
    assert same < 0.1, "a rescan has noise of its own, which names nobody"


def test_the_phantom_is_like_them(tmp_path: Path) -> None:
    real = open_brains(tmp_path, 6)
    phantom = PhantomDataset.from_values(subjects=6, voxel_mm=4).open(cache=tmp_path)
    ours, theirs = tissue_volumes(phantom).mean(axis=0), tissue_volumes(real).mean(axis=0)
    np.testing.assert_allclose(ours, theirs, rtol=0.12)
    rows = {name: two for name, *two in table(phantom, phantom, pairs=2)}
    between, within = (rows[f"MS-SSIM between {what}"] for what in ("people", "sessions"))
    assert between[0] == between[1] < within[0]
