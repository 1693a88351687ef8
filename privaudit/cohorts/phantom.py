"""``phantom``: virtual people, made on the spot from the template in nilearn's wheel; nothing is downloaded."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Final, Literal

import numpy as np
from pydantic import Field as Option

from privaudit.cohorts.anatomy import Anatomy, AnatomyModel, draw_anatomy, tissue_at
from privaudit.cohorts.fields import Lattice, generator
from privaudit.cohorts.lesions import draw_lesion, paint
from privaudit.cohorts.planted import PlantedModel, as_planted, draw_attributes
from privaudit.cohorts.progress import run_jobs
from privaudit.cohorts.sessions import SESSION_MODEL_VERSION, SessionModel, draw_session
from privaudit.cohorts.store import cache_folder, read_volume, save_volume
from privaudit.cohorts.template import BOX, load_template, template_hash
from privaudit.contracts.cohort import BRAIN_LABELS, TUMOUR_LABELS, Attribute, Cohort, Dataset, ScanId, Volume, mark
from privaudit.contracts.options import PluginOptions
from privaudit.errors import DataError

GENERATOR_VERSION: Final = 1
"""Raised whenever the same options give other voxels."""


@dataclass(frozen=True)
class Recipe:
    """All that decides one person's scans, beside the template."""

    voxel_mm: float
    seed: int
    lesions: bool
    planted: bool = field(default=False, repr=False)  # recipes without are called what they always were

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels of the grid over :data:`~privaudit.cohorts.template.BOX`, each side a multiple of 8."""
        x, y, z = (int(np.ceil((b - a) / self.voxel_mm / 8)) * 8 for a, b in zip(BOX.low, BOX.high, strict=True))
        return x, y, z

    @property
    def grid(self) -> Lattice:
        """Where the voxels are: centred on the box."""
        x, y, z = (
            float(middle - (n - 1) / 2 * self.voxel_mm) for middle, n in zip(BOX.centre, self.shape, strict=True)
        )
        return Lattice((x, y, z), self.voxel_mm, self.shape)

    def digest(self, template: str) -> str:
        """SHA-256 over the recipe, the generator and the template."""
        parts = (GENERATOR_VERSION, SESSION_MODEL_VERSION, AnatomyModel(), SessionModel(), self, template)
        more = (PlantedModel(),) if self.planted else ()
        return hashlib.sha256("\n".join(map(repr, (*parts, *more))).encode()).hexdigest()


def draw_person(recipe: Recipe, subject: str) -> Anatomy:
    """Return a virtual person; the voxel size and the other people have no part in who it is."""
    return draw_anatomy(generator("phantom", recipe.seed, subject, "anatomy"))


def attributes_of(recipe: Recipe, subject: str) -> dict[str, Attribute]:
    """Return the planted age and sex of a virtual person; they have no part in what else it is."""
    return draw_attributes(generator("phantom", recipe.seed, subject, "attributes")) if recipe.planted else {}


def render(recipe: Recipe, person: Anatomy, scan: ScanId) -> Volume:
    """Return the image and the labels of one session of a person."""
    template = load_template(recipe.voxel_mm)
    session = draw_session(generator("phantom", recipe.seed, scan.subject, "session", scan.session), BOX)
    grid = recipe.grid
    points = session.pull_back(grid)
    if recipe.planted:
        known = attributes_of(recipe, scan.subject)
        points = as_planted(points, float(known["age"]), str(known["sex"]))
    tissue = tissue_at(template, person, points)
    tissues = tissue.shares.argmax(axis=0).astype(np.uint8)
    intensity, painted = tissue.intensity, tissues
    if recipe.lesions:
        rng = generator("phantom", recipe.seed, scan.subject, "lesion")
        intensity, painted = paint(draw_lesion(rng, template), tissue)
    seen = session.scan(intensity, grid, tissue.inside)
    image, labels = np.zeros(recipe.shape, np.float32), np.zeros(recipe.shape, np.uint8)
    image[tissue.inside] = np.where(tissues > 0, seen, 0)
    labels[tissue.inside] = painted
    affine = np.diag([grid.spacing] * 3 + [1.0])
    affine[:3, 3] = grid.origin
    return Volume(image, labels, affine)


class PhantomOptions(PluginOptions):
    """Options of ``phantom``."""

    subjects: Annotated[int, Option(ge=3, le=9999, description="virtual people")] = 300
    sessions: Annotated[int, Option(ge=1, le=9, description="scans of each person")] = 3
    voxel_mm: Annotated[
        float, Option(ge=1, le=4, description="voxel size in mm: 1 gives 144x192x160, 1.5 96x128x112, 2 72x96x80")
    ] = 2.0
    seed: Annotated[int, Option(description="another seed gives other people")] = 0
    lesions: Annotated[bool, Option(description="paint tumours, labelled NCR, ED and ET")] = False
    attributes: Annotated[
        Literal["none", "planted"],
        Option(description="planted: an age that widens the ventricles and a sex that scales the head, to be attacked"),
    ] = "none"


class PhantomCohort(Cohort):
    """Virtual people, generated once and kept in the cache folder, one file for each scan."""

    name = "phantom"
    shareable = True
    simulated = "virtual subjects (warps of one template)"

    def __init__(self, options: PhantomOptions, cache: Path) -> None:
        self.recipe = Recipe(options.voxel_mm, options.seed, options.lesions, options.attributes == "planted")
        self.shape, self.voxel_mm = self.recipe.shape, options.voxel_mm
        self.label_names = TUMOUR_LABELS if options.lesions else BRAIN_LABELS
        self._people = [f"P{number:04d}" for number in range(1, options.subjects + 1)]
        self._sessions = [str(number) for number in range(1, options.sessions + 1)]
        self._digest = self.recipe.digest(template_hash(cache / "phantom"))
        self.folder = cache / "phantom" / self._digest[:16]

    @cached_property
    def scans(self) -> Sequence[ScanId]:
        """Every scan, sorted."""
        return tuple(ScanId(person, session) for person in self._people for session in self._sessions)

    def marks_of(self, subject: str) -> frozenset[str]:
        """Who it is, which seed and name decide: voxels may differ in the last digit from machine to machine."""
        return frozenset([mark(f"phantom {self.recipe.seed} {subject}")])

    def attributes(self, subject: str) -> Mapping[str, Attribute]:
        """Age and sex where they are planted."""
        return attributes_of(self.recipe, subject)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over the recipe, the people, the sessions, the generator and the template."""
        return hashlib.sha256("\n".join([self._digest, *map(repr, self.scans)]).encode()).hexdigest()

    def path(self, scan: ScanId) -> Path:
        """Where a scan is kept."""
        return self.folder / f"{scan.subject}_{scan.session}.npz"

    def load(self, scan: ScanId) -> Volume:
        """Read a scan; one that is missing or damaged in the cache is made again."""
        if scan not in self.sessions_of(scan.subject):
            raise DataError("the phantom has no such scan", got=scan, todo="see its options subjects and sessions")
        kept = read_volume(self.path(scan))
        if kept is None or kept.image.shape != self.shape:
            generate(self.recipe, [(scan, self.path(scan))])
            kept = read_volume(self.path(scan))
        if kept is None:
            raise DataError(f"{self.path(scan)} cannot be read back", todo="check the disk, or choose another cache")
        return kept

    def prepare(self, scans: Sequence[ScanId], jobs: int = 1, quiet: bool = True) -> None:
        """Make those of these scans that are not there yet, ``jobs`` people at a time."""
        missing: dict[str, list[tuple[ScanId, Path]]] = {}
        for scan in scans:
            if not self.path(scan).is_file():
                missing.setdefault(scan.subject, []).append((scan, self.path(scan)))
        work = [(self.recipe, targets) for targets in missing.values()]
        run_jobs(generate, work, jobs, f"making {len(work)} virtual people", quiet)


def generate(recipe: Recipe, targets: Sequence[tuple[ScanId, Path]]) -> None:
    """Make and keep scans of one person."""
    person = draw_person(recipe, targets[0][0].subject)
    for scan, path in targets:
        save_volume(path, render(recipe, person, scan))


class PhantomDataset(Dataset):
    """Virtual people, each a smooth warp of one template with an own contrast."""

    name = "phantom"
    summary = "Virtual brains made from the ICBM 152 template; embedded, nothing to download."
    Options: ClassVar[type[PluginOptions]] = PhantomOptions

    def open(self, *, cache: Path | None = None, jobs: int = 1, quiet: bool = True) -> PhantomCohort:
        """Scans are made when they are prepared or read; see :meth:`privaudit.contracts.cohort.Dataset.open`."""
        return PhantomCohort(self.options, cache_folder(cache))
