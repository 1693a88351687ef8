"""Who a training learns from and who it is validated on; victims of an audit are neither."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from privaudit.contracts.cohort import Cohort, ScanId, Split
from privaudit.errors import DataError
from privaudit.paths import told


@dataclass(frozen=True)
class Fold:
    """Who is trained on and who is validated on; victims are neither."""

    train: tuple[str, ...]
    validation: tuple[str, ...]


def choose_fold(split: Split, seed: int, validation: float, fold: int | None = None, folds: int = 1) -> Fold:
    """Split the people who are no victims into training and validation, by a seeded hash of their names.

    Args:
        split: of the whole cohort.
        seed: of the training.
        validation: share of the people held out; ignored with folds.
        fold: which fold, from 0, or None.
        folds: how many folds.

    Raises:
        DataError: too few people.
    """
    people = sorted(
        (*split.pool, *split.population), key=lambda s: hashlib.sha256(f"{seed}:validation:{s}".encode()).hexdigest()
    )
    count = max(1, round(len(people) * validation))
    held = people[:count] if fold is None else people[fold::folds]
    rest = [person for person in people if person not in set(held)]
    if not held or len(rest) < 2:
        raise DataError(
            "too few people to train and validate on", got=len(people), allowed="at least 3 beside the victims"
        )
    return Fold(tuple(sorted(rest)), tuple(sorted(held)))


def scans_of(cohort: Cohort, people: Sequence[str]) -> list[ScanId]:
    """Every scan of some people."""
    return [scan for person in people for scan in cohort.sessions_of(person)]


def describe_data(cohort: Cohort, fold: Fold, params: dict[str, Any]) -> dict[str, Any]:
    """What the model card says of the data; nobody is named."""
    return {
        "name": cohort.name,
        "kind": cohort.kind,
        "fingerprint": cohort.fingerprint,
        "simulated": cohort.simulated,
        "people": len(fold.train),
        "scans": len(scans_of(cohort, fold.train)),
        "validation_people": len(fold.validation),
        "params": told({k: v for k, v in params.items() if k != "root"}),
    }
