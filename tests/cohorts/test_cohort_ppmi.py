"""``ppmi``: FreeSurfer folders by name and by the archive's table, and BIDS derivatives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from privaudit.auditing.opening import Settings
from privaudit.auditing.run import run_audit
from privaudit.auditing.spec import parse_spec
from privaudit.cohorts.freesurfer import ASEG
from privaudit.cohorts.ppmi import PpmiDataset
from privaudit.contracts.cohort import Cohort, ScanId
from privaudit.errors import DataError, OptionError
from privaudit.prior.options import PriorOptions, PriorSpec
from privaudit.prior.training import open_prior_training
from privaudit.segmentation.options import parse_training

Writer = Callable[..., Path]
Brain = Callable[..., tuple[NDArray[Any], NDArray[Any]]]

CONFORMED = np.array([[-1.0, 0, 0, 12], [0, 0, 1.0, -9], [0, -1.0, 0, 10], [0, 0, 0, 1]])
"""The axes of a FreeSurfer volume: left, inferior, anterior."""


@pytest.fixture
def recon(write: Writer, brain: Brain) -> Callable[..., Path]:
    def write_subject(folder: Path, seed: int = 0, image: str = "norm") -> Path:
        intensity, labels = brain((24, 20, 18), seed=seed)
        write(folder / "mri" / f"{image}.mgz", (intensity / 9).astype(np.uint8), CONFORMED)
        write(folder / "mri" / "aseg.mgz", np.array([0, 24, 42, 2], np.int32)[labels], CONFORMED)
        return folder

    return write_subject


def open_ppmi(root: Path, **options: Any) -> Cohort:
    values = {"shape": "[32, 32, 32]", **options}
    cohort: Cohort = PpmiDataset.from_values(root=str(root), **values).open(cache=root.parent / "cache")
    return cohort


def test_people_and_visits_from_folder_names(tmp_path: Path, recon: Callable[..., Path]) -> None:
    for number, name in enumerate(("3102_V04", "3102_BL", "sub-3107_ses-BL", "3110")):
        recon(tmp_path / "fs" / name, seed=number)
    recon(tmp_path / "fs" / "fsaverage")
    cohort = open_ppmi(tmp_path / "fs")
    assert cohort.scans == (ScanId("3102", "BL"), ScanId("3102", "V04"), ScanId("3107", "BL"), ScanId("3110"))
    assert (cohort.shape, cohort.voxel_mm) == ((32, 32, 32), 1.0)
    volume = cohort.load(ScanId("3110"))
    np.testing.assert_array_equal(volume.affine[:3, :3], np.eye(3))
    assert [round(float(volume.image[volume.labels == k].mean()), 1) for k in range(4)] == [0.0, 0.2, 0.6, 0.9]


def test_the_default_grid_is_the_papers(tmp_path: Path, recon: Callable[..., Path]) -> None:
    recon(tmp_path / "fs" / "3102_BL")
    cohort = PpmiDataset.from_values(root=tmp_path / "fs").open(cache=tmp_path)
    assert cohort.load(ScanId("3102", "BL")).image.shape == cohort.shape == (144, 192, 160)


def test_longitudinal_runs(tmp_path: Path, recon: Callable[..., Path]) -> None:
    for name in ("3102_BL.long.3102", "3102_V04.long.3102", "3102"):
        recon(tmp_path / "fs" / name)
    cohort = open_ppmi(tmp_path / "fs")
    assert cohort.scans == (ScanId("3102", "BL"), ScanId("3102", "V04"))  # the base, 3102, is no visit
    recon(tmp_path / "fs" / "3102_BL")
    with pytest.raises(DataError, match=r"3102_BL and .*3102_BL\.long\.3102 are the same visit .*option pattern"):
        open_ppmi(tmp_path / "fs")
    pattern = r"(?P<subject>\d+)_(?P<session>\w+)\.long\.\d+"
    assert len(open_ppmi(tmp_path / "fs", pattern=pattern)) == 2


def test_names_that_cannot_be_read(tmp_path: Path, recon: Callable[..., Path]) -> None:
    recon(tmp_path / "fs" / "study_3102_BL_T1")
    with pytest.raises(DataError, match="study_3102_BL_T1: person and visit cannot be read .*option pattern"):
        open_ppmi(tmp_path / "fs")
    pattern = r"study_(?P<subject>\d+)_(?P<session>[^_]+)_T1"
    assert open_ppmi(tmp_path / "fs", pattern=pattern).scans == (ScanId("3102", "BL"),)
    with pytest.raises(OptionError, match="no regular expression"):
        open_ppmi(tmp_path / "fs", pattern="(")
    with pytest.raises(OptionError, match="names no person"):
        open_ppmi(tmp_path / "fs", pattern=".*")


def test_people_and_visits_from_the_archives_table(tmp_path: Path, recon: Callable[..., Path]) -> None:
    for name in ("I498819", "PPMI_3107_MR_I372118", "I59"):
        recon(tmp_path / "fs" / name)
    table = tmp_path / "ida.csv"
    table.write_text(
        '"Image Data ID","Subject","Group","Sex","Age","Visit","Modality","Description","Type","Acq Date"\n'
        '"I498819","3102","PD","M","64","10","MRI","MPRAGE","Original","1/05/2013"\n'
        '"I372118","3107","PD","F","70","BL","MRI","MPRAGE","Original","1/07/2012"\n'
        '"59","3102","PD","M","63","1","MRI","MPRAGE","Original","1/05/2012"\n'
    )
    cohort = open_ppmi(tmp_path / "fs", csv=str(table))
    assert cohort.scans == (ScanId("3102", "01"), ScanId("3102", "10"), ScanId("3107", "BL"))
    recon(tmp_path / "fs" / "I77")
    with pytest.raises(DataError, match=r"I77: its name holds 0 image ids of .*ida\.csv; name each folder"):
        open_ppmi(tmp_path / "fs", csv=str(table))
    table.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=r"ida\.csv is no download table .*Image Data ID, Subject and Visit"):
        open_ppmi(tmp_path / "fs", csv=str(table))


def test_incomplete_subjects(tmp_path: Path, recon: Callable[..., Path]) -> None:
    folder = recon(tmp_path / "fs" / "3102_BL", image="brain")
    with pytest.raises(DataError, match=r"norm\.mgz is missing; finish recon-all, or choose the option image=brain"):
        open_ppmi(tmp_path / "fs")
    assert len(open_ppmi(tmp_path / "fs", image="brain")) == 1
    (folder / "mri" / "aseg.mgz").unlink()
    with pytest.raises(DataError, match=r"aseg\.mgz is missing; finish recon-all"):
        open_ppmi(tmp_path / "fs", image="brain")


def test_bids_derivatives_conform_too(tmp_path: Path, write_bids: Callable[..., Path]) -> None:
    root = write_bids(tmp_path / "bids", ("3102", "3107"), ("BL", "V04"))
    cohort = open_ppmi(root)
    assert len(cohort) == 4
    assert cohort.load(ScanId("3107", "V04")).image.shape == (32, 32, 32)
    with pytest.raises(DataError, match="holds no scans"):
        open_ppmi(root, layout="freesurfer")


def test_missing_data_says_how_to_obtain_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PRIVAUDIT_DATA", raising=False)
    with pytest.raises(DataError, match=r"PRIVAUDIT_DATA; .*ppmi-info\.org.*recon-all.*--dataset phantom"):
        PpmiDataset().open(cache=tmp_path)
    with pytest.raises(DataError, match=r"holds no scans .*norm\.mgz.*ppmi-info\.org.*--dataset phantom"):
        open_ppmi(tmp_path)


def test_the_label_mapping_names_each_id_once() -> None:
    some = {0: 0, 4: 1, 24: 1, 3: 2, 42: 2, 17: 2, 1035: 2, 2: 3, 41: 3, 16: 3, 251: 3, 3001: 3}
    assert {label: ASEG[label] for label in some} == some


@pytest.mark.slow
def test_separation_runs_on_a_folder_of_people_and_visits(tmp_path: Path, recon: Callable[..., Path]) -> None:
    """``privaudit train --prior`` and ``privaudit attack bss`` on the layout; without a prior, the command is named."""
    for number in range(12):
        for visit in ("BL", "V04")[: 1 + (number < 4)]:
            recon(tmp_path / "fs" / f"31{number:02d}_{visit}", seed=number + 50 * (visit != "BL"))
    dataset = {"name": "ppmi", "root": str(tmp_path / "fs"), "shape": [32, 32, 32]}
    train = {"steps": 1, "batch": 1, "validation_batches": 1, "validate_every": 1, "detail": False}
    plan = parse_training(PriorSpec, PriorOptions, {"dataset": dataset, "train": train}, "test")
    open_prior_training(plan, tmp_path / "prior", device="cpu").run()
    attack = {"name": "bss", "prior": str(tmp_path / "prior"), "levels": 2, "patches": 1}
    spec = {"dataset": dataset, "attacks": [attack], "scoring": {"resamples": 200}}
    record = run_audit(parse_spec(spec, "test"), Settings(out=tmp_path / "run")).record
    assert not record.missing
    (finding,) = [f for f in record.primary() if f.attack == "bss" and f.victim == "target"]
    assert {c.name for c in finding.comparisons} == {"as-is", "atlas", "random-subject", "wiener"}
    spec["attacks"] = ["bss"]
    with pytest.raises(OptionError, match="privaudit train --prior --dataset ppmi"):
        run_audit(parse_spec(spec, "test"), Settings(out=tmp_path / "none"))
