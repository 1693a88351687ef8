"""Label values of common programs have a meaning of their own, and values of unknown meaning are named briefly."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from privaudit.cohorts.bids import BidsDataset
from privaudit.cohorts.label_tables import NAMES, TABLES, label_table, tables_with
from privaudit.errors import DataError, OptionError

Writer = Callable[..., Path]


@pytest.mark.parametrize("name", NAMES)
def test_tables_give_each_value_one_tissue_and_say_from_where(name: str) -> None:
    text = (TABLES / f"{name}.yaml").read_text()
    assert "Source:" in text
    groups = yaml.safe_load(text)
    assert list(groups) == ["CSF", "GM", "WM"]
    values = [value for group in groups.values() for value in group]
    assert len(values) == len(set(values))
    assert 0 not in values


def test_tables_are_as_the_programs_write() -> None:
    assert {name: len(label_table(name)) for name in NAMES} == {"dlmuse": 146, "freesurfer": 207, "synthseg": 103}
    muse = {4: 1, 51: 1, 47: 2, 59: 2, 121: 2, 35: 3, 95: 3}
    assert {value: label_table("dlmuse")[value] for value in muse} == muse
    assert all(label_table("freesurfer")[value] == tissue for value, tissue in label_table("synthseg").items())
    assert tables_with([0, 71, 207]) == ["dlmuse"]


def folder(root: Path, write: Writer, brain: Callable[..., tuple[np.ndarray, np.ndarray]], values: list[int]) -> Path:
    image, labels = brain()
    write(root / "sub-01" / "anat" / "sub-01_T1w.nii.gz", image)
    write(root / "sub-01" / "anat" / "sub-01_dseg.nii.gz", np.array(values, np.int16)[labels])
    return root


def test_one_word_says_what_146_values_mean(
    write: Writer, brain: Callable[..., tuple[np.ndarray, np.ndarray]], tmp_path: Path
) -> None:
    root = folder(tmp_path, write, brain, [0, 51, 121, 82])
    unknown = BidsDataset.from_values(root=root).open(cache=tmp_path / "cache")
    with pytest.raises(DataError, match="give the option labels=dlmuse"):
        unknown.load(unknown.scans[0])
    known = BidsDataset.from_values(root=root, labels="dlmuse").open(cache=tmp_path / "cache")
    assert np.unique(known.load(known.scans[0]).labels).tolist() == [0, 1, 2, 3]
    with pytest.raises(OptionError, match="labels and label_map both say what label values mean: give one of them"):
        BidsDataset.from_values(root=root, labels="dlmuse", label_map={0: 0})


def test_a_long_list_of_values_is_cut(
    write: Writer, brain: Callable[..., tuple[np.ndarray, np.ndarray]], tmp_path: Path
) -> None:
    root = folder(tmp_path, write, brain, [0, 9001, 9002, 9003])
    cohort = BidsDataset.from_values(root=root, labels="freesurfer").open(cache=tmp_path / "cache")
    with pytest.raises(DataError) as error:
        cohort.load(cohort.scans[0])
    assert "9001, 9002, 9003" in str(error.value)
    assert "... (207 values)" in str(error.value)
    assert len(str(error.value).replace(str(tmp_path), "")) < 300
