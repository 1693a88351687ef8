"""``bids``: any BIDS or BIDS-derivatives folder with images and tissue label maps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field as Option
from pydantic import model_validator

from privaudit.cohorts.bids_layout import Wanted, find_scans, split_name
from privaudit.cohorts.file_cohort import ScanFiles
from privaudit.cohorts.file_dataset import BoxShape, FileDataset, FileOptions, Found
from privaudit.cohorts.label_tables import LabelTable, label_table
from privaudit.cohorts.labels import AS_IS, MAP_LABELS, LabelMap, read_dseg_tsv
from privaudit.cohorts.participants import read_participants
from privaudit.cohorts.volumes import Reading
from privaudit.contracts.cohort import ScanId
from privaudit.contracts.options import PluginOptions

Entity = Annotated[str | None, Option(pattern="^[A-Za-z0-9]+$")]


class BidsChoice(FileOptions):
    """Which files of a BIDS folder to take, and what their labels mean."""

    suffix: Annotated[str, Option(pattern="^[A-Za-z0-9]+$", description="suffix of the images")] = "T1w"
    desc: Annotated[Entity, Option(description="take images with this desc- entity; 'none': without")] = None
    run: Annotated[Entity, Option(description="take images of this run- entity; 'none': without")] = None
    space: Annotated[Entity, Option(description="take images in this space- entity; 'none': without")] = None
    dseg_desc: Annotated[Entity, Option(description="take label maps with this desc- entity")] = None
    label_map: LabelMap = None
    labels: LabelTable = None

    @model_validator(mode="after")
    def _one_meaning(self) -> BidsChoice:
        if self.labels is not None and self.label_map is not None:
            raise ValueError("labels and label_map both say what label values mean: give one of them")
        return self

    @property
    def given_map(self) -> Mapping[int, int] | None:
        """What the user says that label values mean."""
        return self.label_map if self.labels is None else label_table(self.labels)

    brain_only: Annotated[bool, Option(description="set the image to 0 where it has no label: a skull is cut")] = False


class BidsOptions(BidsChoice):
    """Options of ``bids``."""

    label_maps: Annotated[
        Literal["needed", "none"],
        Option(description="none: there are no label maps; identity and pictures are attacked, and no maps"),
    ] = "needed"

    voxel_mm: Annotated[float | None, Option(gt=0, le=10, description="resample to cubes of this side")] = None
    shape: Annotated[
        BoxShape | None, Option(description="crop or pad to this, around the brain, as '[96, 128, 112]'")
    ] = None


class BidsDataset(FileDataset):
    """A folder ``sub-*/[ses-*/]anat/`` with ``*_T1w.nii[.gz]`` and ``*_dseg.nii[.gz]``."""

    name = "bids"
    summary = "Your own BIDS or BIDS-derivatives folder with T1w images and dseg label maps."
    Options: ClassVar[type[PluginOptions]] = BidsOptions
    help_missing = (
        "Arrange images as sub-*/[ses-*/]anat/*_T1w.nii.gz with label maps *_dseg.nii.gz beside them and pass the "
        "folder as --root."
    )

    def find(self, root: Path) -> Found:
        """Choose files by their BIDS names."""
        options: BidsOptions = self.options
        grid = Reading(voxel_mm=options.voxel_mm, shape=options.shape, max_cut=options.max_cut)
        return Found(
            choose_files(root, options, labelled=options.label_maps == "needed"),
            lambda files: how_to_read(root, files, options, grid), looked_for(options), read_participants(root),
        )  # fmt: skip


def _entities(options: BidsChoice) -> dict[str, str]:
    chosen = {"desc": options.desc, "run": options.run, "space": options.space}
    return {key: value for key, value in chosen.items() if value is not None}


def choose_files(root: Path, options: BidsChoice, labelled: bool = True) -> dict[ScanId, ScanFiles]:
    """Return the files that the options choose; empty if there are none."""
    entities = {key: None if value == "none" else value for key, value in _entities(options).items()}
    return find_scans(root, Wanted(options.suffix, entities, options.dseg_desc, labelled))


def looked_for(options: BidsChoice) -> str:
    """Say which files the options choose."""
    which = "".join(f", {key}={value}" for key, value in _entities(options).items())
    return f"sub-*/[ses-*/]anat/*_{options.suffix}.nii[.gz]{which}"


def how_to_read(root: Path, files: ScanFiles, options: BidsChoice, grid: Reading) -> Reading:
    """Complete ``grid`` by what the options, or the folder's label table, say about intensities and labels."""
    table = None if options.given_map is not None else _label_table(root, files.labels)
    label_map = options.given_map or (AS_IS if table is None else read_dseg_tsv(table))
    return replace(
        grid,
        intensity=options.intensity,
        label_map=label_map,
        label_cure=MAP_LABELS if table is None else f"name it in {table} as a tissue, or {MAP_LABELS}",
        ascending=table is None and options.given_map is None and options.suffix == "T1w",
        brain_only=options.brain_only,
    )


def _label_table(root: Path, labels: Path) -> Path | None:
    """Return the table that names the values of a label map: beside it, else in the dataset's root."""
    own = labels.with_name(labels.name.removesuffix(".gz").removesuffix(".nii") + ".tsv")
    desc = split_name(labels)[0].get("desc")
    places = [own, *([root / f"desc-{desc}_dseg.tsv"] if desc else []), root / "dseg.tsv"]
    return next((path for path in places if path.is_file()), None)
