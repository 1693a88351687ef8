"""``ppmi``: your own download of the Parkinson's Progression Markers Initiative."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field as Option

from privaudit.cohorts.bids import BidsChoice, choose_files, how_to_read, looked_for
from privaudit.cohorts.file_dataset import BoxShape, FileDataset, Found
from privaudit.cohorts.freesurfer import ASEG, find_folders, gather, names_from_csv, names_from_pattern
from privaudit.cohorts.volumes import Reading
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


class PpmiDataset(FileDataset):
    """FreeSurfer subject folders, or BIDS derivatives, of PPMI; conformed to 144x192x160 voxels of 1 mm."""

    name = "ppmi"
    summary = "Your own PPMI: FreeSurfer subject folders or BIDS derivatives."
    Options: ClassVar[type[PluginOptions]] = PpmiOptions
    help_missing = (
        "Apply for PPMI at www.ppmi-info.org, download T1 images from ida.loni.usc.edu, run FreeSurfer's recon-all, "
        "and arrange SUBJECT_VISIT/mri/norm.mgz and aseg.mgz in one folder given as --root."
    )

    def find(self, root: Path) -> Found:
        """Look for FreeSurfer subject folders, else for BIDS names."""
        options: PpmiOptions = self.options
        grid = Reading(voxel_mm=1.0, shape=options.shape, max_cut=options.max_cut)
        folders = find_folders(root) if options.layout != "bids" else []
        wanted = f"SUBJECT_VISIT/mri/{options.image}.mgz with aseg.mgz, or {looked_for(options)}"
        if not folders and options.layout != "freesurfer":
            files = choose_files(root, options)
            return Found(files, lambda found: how_to_read(root, found, options, grid), wanted)
        if options.csv is None:
            names = names_from_pattern(folders, options.pattern)
        else:
            names = names_from_csv(folders, options.csv)
        reading = replace(
            grid, intensity=options.intensity, brain_only=options.brain_only, label_map=options.given_map or ASEG
        )
        return Found(gather(names, options.image), lambda _: reading, wanted)
