"""``ppmi``: your own download of the Parkinson's Progression Markers Initiative."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field as Option

from privaudit.cohorts.bids import BidsChoice, choose_files, how_to_read, looked_for
from privaudit.cohorts.file_cohort import (
    BoxShape,
    FileCohort,
    MaxCut,
    ScanFiles,
    find_root,
    finish,
    first_people,
    nothing_found,
)
from privaudit.cohorts.freesurfer import ASEG, find_folders, gather, names_from_csv, names_from_pattern
from privaudit.cohorts.store import cache_folder
from privaudit.cohorts.volumes import Reading
from privaudit.contracts.cohort import Cohort, Dataset, ScanId
from privaudit.contracts.options import PluginOptions

Layout = Literal["auto", "freesurfer", "bids"]


class PpmiOptions(BidsChoice):
    """Options of ``ppmi``; those about BIDS names are for that layout alone."""

    layout: Annotated[Layout, Option(description="how the folder is arranged; auto: see what is there")] = "auto"
    pattern: Annotated[
        str | None,
        Option(description="FreeSurfer: regular expression with groups subject and session for the folders' names"),
    ] = None
    csv: Annotated[
        Path | None, Option(description="FreeSurfer: the archive's table, for folders named by image id")
    ] = None
    image: Annotated[Literal["norm", "brain"], Option(description="FreeSurfer: which image of mri/")] = "norm"
    shape: Annotated[BoxShape, Option(description="voxels of 1 mm that every scan is cropped or padded to")] = (
        144,
        192,
        160,
    )
    max_cut: MaxCut = 0.005


class PpmiDataset(Dataset):
    """FreeSurfer subject folders, or BIDS derivatives, of PPMI; conformed to 144x192x160 voxels of 1 mm."""

    name = "ppmi"
    summary = "Your own PPMI: FreeSurfer subject folders or BIDS derivatives."
    Options: ClassVar[type[PluginOptions]] = PpmiOptions
    help_missing = (
        "Apply for PPMI at www.ppmi-info.org, download T1 images from ida.loni.usc.edu, run FreeSurfer's recon-all, "
        "and arrange SUBJECT_VISIT/mri/norm.mgz and aseg.mgz in one folder given as --root."
    )

    def open(self, *, cache: Path | None = None, jobs: int = 1, quiet: bool = True) -> Cohort:
        """Find the scans; see :meth:`privaudit.contracts.cohort.Dataset.open`."""
        options: PpmiOptions = self.options
        root = find_root(options.root, self.name, self.help_missing)
        folders = find_folders(root) if options.layout != "bids" else []
        grid = Reading(voxel_mm=1.0, shape=options.shape, max_cut=options.max_cut)
        files: Mapping[ScanId, ScanFiles]
        if folders or options.layout == "freesurfer":
            names = (
                names_from_pattern(folders, options.pattern)
                if options.csv is None
                else names_from_csv(folders, options.csv)
            )
            files = first_people(gather(names, options.image), options.subjects)
            grid = replace(grid, intensity=options.intensity, brain_only=options.brain_only)
            reading = dict.fromkeys(files, replace(grid, label_map=options.label_map or ASEG))
        else:
            files = first_people(choose_files(root, options), options.subjects)
            reading = {scan: how_to_read(root, found, options, grid) for scan, found in files.items()}
        if not files:
            wanted = f"SUBJECT_VISIT/mri/{options.image}.mgz with aseg.mgz, or {looked_for(options)}"
            raise nothing_found(root, self.name, wanted, self.help_missing)
        cohort = FileCohort(self.name, root, files, reading, cache_folder(cache), shareable=options.shareable)
        return finish(cohort, options.rescans)
