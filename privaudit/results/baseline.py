"""The baseline: what an accepted run leaked, and on what; the file to commit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from privaudit.errors import RecordError
from privaudit.files import is_file, parse_json, read_text
from privaudit.results.overall import Verdict
from privaudit.results.record import SCHEMA_VERSION, Interval, Record
from privaudit.validation import explain


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BaselineFinding(_Model):
    """What is remembered of one primary finding."""

    key: str
    estimate: float | None
    ci: Interval | None
    verdict: Verdict | None
    n_subjects: int
    knowledge: list[str]
    params: dict[str, Any]
    limit: float | None = None
    accepted: bool = False
    """An INCONCLUSIVE figure that passes the gate for as long as it does not move."""


class Baseline(_Model):
    """The file to commit: what an accepted run leaked, and on what."""

    privaudit_baseline: str = SCHEMA_VERSION
    dataset: str
    fingerprint: str
    split: dict[str, int]
    defense: str
    defense_params: dict[str, Any]
    seed: int
    scoring: dict[str, Any]
    findings: list[BaselineFinding]


def make_baseline(record: Record, accept_inconclusive: bool = False) -> Baseline:
    """Take from a record what the gate compares.

    Args:
        record: the run.
        accept_inconclusive: let INCONCLUSIVE figures pass the gate for as long as they do not move.

    Raises:
        RecordError: the run is incomplete or decides nothing, and so cannot serve.
    """
    if record.missing:
        raise RecordError("an incomplete run cannot be a baseline", got=f"{len(record.missing)} missing attacks")
    if not record.primary():
        raise RecordError("a run without a deciding figure cannot be a baseline", todo="audit with an attack")
    return Baseline(
        dataset=record.dataset.name,
        fingerprint=record.dataset.fingerprint,
        split=record.dataset.split,
        defense=record.defense.name,
        defense_params=record.defense.params,
        seed=record.seed,
        scoring=scoring_of(record),
        findings=[
            BaselineFinding(
                key=f.key, estimate=f.estimate, ci=f.ci, verdict=f.verdict, n_subjects=f.n_subjects,
                knowledge=f.knowledge, params=f.params, limit=f.control.limit if f.control else None,
                accepted=accept_inconclusive and f.verdict is Verdict.INCONCLUSIVE,
            )
            for f in record.shown()
        ],
    )  # fmt: skip


def scoring_of(record: Record) -> dict[str, Any]:
    """What figures of two runs must have in common to be compared."""
    return {**record.settings.get("scoring", {}), "ms_ssim": record.settings.get("ms_ssim")}


def dump_baseline(baseline: Baseline) -> str:
    """The baseline as JSON text."""
    return json.dumps(baseline.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_baseline(path: Path) -> Baseline:
    """Read a baseline file.

    Raises:
        RecordError: it is missing, unreadable, or of another version.
    """
    hint = "make one with 'privaudit baseline RUN'"
    if not is_file(path):
        raise RecordError(f"no baseline at {path}", todo=hint)
    data = parse_json(read_text(path, RecordError, hint), str(path), RecordError, hint)
    version = data.get("privaudit_baseline") if isinstance(data, dict) else None
    if version != SCHEMA_VERSION:
        raise RecordError(f"{path} is no baseline of this version", got=version, allowed=SCHEMA_VERSION, todo=hint)
    try:
        return Baseline.model_validate(data)
    except ValidationError as error:
        where, must, _ = explain(error, Baseline)
        raise RecordError(f"{path} is not a valid baseline: {where} {must}", todo=hint) from None
