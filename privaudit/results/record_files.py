"""Records as JSON: writing, reading with a check of everything, and the schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from privaudit.errors import RecordError
from privaudit.files import is_file, is_folder, parse_json, read_text
from privaudit.results.overall import Verdict
from privaudit.results.record import SCHEMA_VERSION, Finding, Record
from privaudit.validation import explain

ROUNDING: Final = 1e-9


def dumps(record: Record) -> str:
    """The record as JSON text with a final newline; equal records give equal text."""
    return json.dumps(record.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def loads(text: str, source: str) -> Record:
    """Read a record.

    Raises:
        RecordError: not JSON, another schema version, or not a record.
    """
    data = parse_json(text, source, RecordError, "give a record.json or its run folder")
    version = data.get("schema_version") if isinstance(data, dict) else None
    if version != SCHEMA_VERSION:
        raise RecordError(
            f"{source} has another schema version",
            got=version,
            allowed=SCHEMA_VERSION,
            todo="run the audit again",
        )
    try:
        record = Record.model_validate(data)
    except ValidationError as error:
        where, must, _ = explain(error, Record)
        raise RecordError(f"{source} is not a valid record: {where} {must}") from None
    for finding in record.primary():
        why = unfounded(finding)
        if why:
            raise RecordError(f"{source} is not a valid record: {finding.key} says {finding.verdict}, {why}")
    return record


def unfounded(finding: Finding) -> str:
    """Why a finding's own figures contradict that no leak was detected; empty where they do not.

    Whoever edits a verdict, by hand or by a script, must not get a pass from it.
    """
    if finding.verdict is not Verdict.NO_LEAK_DETECTED:
        return ""
    beside = None if finding.baseline is None else finding.baseline.ci
    if beside is None or beside[1] > finding.margin + ROUNDING:
        return "but its interval does not stay within the margin"
    if finding.control is None or not finding.control.passed:
        return "but its planted leak was not found"
    return ""


def read(path: Path) -> Record:
    """Read a record from its file or from a run folder that holds ``record.json``.

    Raises:
        RecordError: nothing is there, or it is no record.
    """
    file = path / "record.json" if is_folder(path) else path
    if not is_file(file):
        raise RecordError(f"no record at {file}", todo="give a run folder, or finish the audit first")
    return loads(read_text(file, RecordError, "give a record.json or its run folder"), str(file))


def json_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a record."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Record.model_json_schema(mode="serialization"),
    }
