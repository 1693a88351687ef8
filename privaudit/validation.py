"""What a value must be, in plain words, where pydantic says that it is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError

PLAIN: Final[Mapping[str, str]] = {
    "int": "a whole number",
    "float": "a number",
    "finite_number": "a finite number",
    "bool": "true or false",
    "string_type": "text",
    "path": "a path",
    "tuple": "a list",
    "list": "a list",
    "set": "a list",
    "frozen_set": "a list",
    "dict": "a mapping, key: value",
    "mapping": "a mapping, key: value",
    "model": "a mapping, key: value",
    "none_required": "null",
}
"""By how pydantic's name of an error begins."""
LIMITS: Final[Mapping[str, str]] = {
    "greater_than": "above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "below {lt}",
    "less_than_equal": "at most {le}",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "string_too_short": "longer text",
    "string_pattern_mismatch": "text of the pattern {pattern}",
}
SHOWN: Final = 80
"""Characters of a value that a message repeats."""


def explain(error: ValidationError, model: type[BaseModel]) -> tuple[str, str, str]:
    """The first thing that is wrong.

    Returns:
        Where, by names and numbers that the user wrote ('split.victims'; empty for all of it), what it must be, as the
        rest of a sentence ('must be a whole number'), and what was got instead.
    """
    errors = error.errors(include_url=False)
    where = tuple(written(errors[0]["loc"], model))
    same = [item for item in errors if tuple(written(item["loc"], model)) == where]
    texts = list(dict.fromkeys(_must(item) for item in same))
    joined = " or ".join([texts[0], *(text.removeprefix("must be ") for text in texts[1:])])
    if errors[0]["type"] == "missing" and (not where or where[-1] != str(errors[0]["loc"][-1])):
        where = (*where, str(errors[0]["loc"][-1]))
    return ".".join(where), joined, shown(same[0].get("input"))


def written(loc: tuple[int | str, ...], model: type[BaseModel]) -> Iterator[str]:
    """The parts of a place that the user wrote: pydantic also names the members of a union that it tried."""
    current: Any = model
    for part in loc:
        fields = current.model_fields if isinstance(current, type) and issubclass(current, BaseModel) else {}
        if part in fields:
            current = fields[str(part)].annotation
        elif (not isinstance(part, int) and fields and part != loc[-1]) or (not isinstance(part, int) and not fields):
            return
        yield str(part)


def _must(item: Any) -> str:
    kind, facts = item["type"], item.get("ctx", {})
    if kind == "missing":
        return "is missing"
    if kind in ("value_error", "assertion_error"):
        return str(item["msg"]).partition(", ")[2]
    if kind in LIMITS:
        return f"must be {LIMITS[kind].format(**facts)}"
    for beginning, text in PLAIN.items():
        if kind.startswith(beginning):
            return f"must be {text}"
    return str(item["msg"]).replace("Input should be", "must be")


def shown(value: Any) -> str:
    """A value as Python writes it, cut where it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"
