"""Opening a training: which one a defense needs, on whose data, in which folder."""

from __future__ import annotations

from pathlib import Path

from privaudit.contracts import plugin
from privaudit.contracts.cohort import Dataset
from privaudit.contracts.defense import Defense
from privaudit.contracts.roles import assign_roles
from privaudit.devices import choose_device
from privaudit.errors import OptionError
from privaudit.files import check_own, claim, refuse_same
from privaudit.learning.loop import CHECKPOINT, HISTORY
from privaudit.segmentation.deformation import DeformationTraining
from privaudit.segmentation.folds import choose_fold
from privaudit.segmentation.options import TrainSpec
from privaudit.segmentation.privacy_net import PrivacyNetTraining
from privaudit.segmentation.training import Training, mixing_recipe
from privaudit.segmentation.weights import SEGMENTATION

WEIGHTS = Path("privaudit-weights")


def folder_of(spec: TrainSpec, out: Path | None) -> Path:
    """Where a training lives: ``--out``, or a folder named after its specification."""
    return out if out is not None else WEIGHTS / f"{spec.dataset.name}-{spec.defense.name}-{spec.digest}"


def check_weights_folder(folder: Path, pretrained: str | None) -> None:
    """Refuse to train into a folder that holds something else, or the weights that are started from.

    Raises:
        OptionError: it is somebody else's.
        WriteError: it cannot be written.
    """
    check_own(folder, "weights", _trained_before)
    refuse_same(folder, None if pretrained is None else Path(pretrained))


def _trained_before(folder: Path) -> bool:
    """Whether a folder without a marker was made by a training of an earlier version, or by one for each fold."""
    made = (CHECKPOINT, HISTORY, SEGMENTATION, "prior.json")
    return any((place / name).is_file() for place in (folder, *folder.glob("fold-*")) for name in made)


def training_of(defense: Defense) -> type[Training]:
    """How a defense is trained for.

    Raises:
        OptionError: it was told to use weights.
    """
    wanted = defense.params.get("weights", "auto") if defense.client != "none" else "auto"
    if wanted != "auto":
        raise OptionError(
            f"a training for '{defense.name}' makes weights", got=f"--{defense.name}.weights {wanted}",
            todo="leave that out; --pretrained names weights to start from",
        )  # fmt: skip
    kinds: dict[str, type[Training]] = {
        "none": Training, "proxy": PrivacyNetTraining, "velocity": DeformationTraining,
    }  # fmt: skip
    return kinds[defense.client]


def open_training(
    spec: TrainSpec, out: Path | None = None, cache: Path | None = None, device: str = "auto", jobs: int = 1,
    quiet: bool = True, command: str = "", folds: int = 1,
) -> list[Training]:  # fmt: skip
    """Open one training, or one for each fold of a cross-validation by subject.

    Raises:
        PrivauditError: bad options or bad data, or a folder that is somebody else's.
    """
    folder = folder_of(spec, out)
    check_weights_folder(folder, spec.train.pretrained)
    choose_device(device)  # one that is not there is an error, not a slow training
    dataset = plugin.create("datasets", spec.dataset.name, Dataset, spec.dataset.values)
    defense = plugin.create("defenses", spec.defense.name, Defense, spec.defense.values)
    kind, _ = training_of(defense), mixing_recipe(defense, spec.train)  # before data is generated or read
    cohort = dataset.open(cache=cache, jobs=jobs, quiet=quiet)
    cohort.prepare(cohort.scans, jobs, quiet)
    split = assign_roles(cohort.subjects, spec.split, spec.seed)
    numbers: list[int | None] = [None] if folds == 1 else list(range(folds))
    trainings = [
        kind(
            spec, cohort, dataset.params, defense, choose_fold(split, spec.seed, spec.train.validation, number, folds),
            folder if number is None else folder / f"fold-{number}", device, command,
        )
        for number in numbers
    ]  # fmt: skip
    claim(folder, "weights")
    return trainings
