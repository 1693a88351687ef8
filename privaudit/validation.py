"""What a value must be, in plain words, where pydantic says that it is not."""

from __future__ import annotations

import re
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from privaudit.errors import short

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
        Where, by names that the user wrote ('split.victims', 'attacks[0].name'; empty for all of it), what it must be,
        as the rest of a sentence ('must be a whole number'), and what was got instead.
    """
    errors = error.errors(include_url=False)
    where = tuple(written(errors[0]["loc"], model))
    same = [item for item in errors if tuple(written(item["loc"], model)) == where]
    texts = list(dict.fromkeys(_must(item) for item in same))
    joined = " or ".join([texts[0], *(text.removeprefix("must be ") for text in texts[1:])])
    if errors[0]["type"] == "missing" and (not where or where[-1] != str(errors[0]["loc"][-1])):
        where = (*where, str(errors[0]["loc"][-1]))
    return place(where), joined, shown(same[0].get("input"))


def in_words(error: Exception, model: type[BaseModel]) -> str:
    """What is wrong with a file that was to become ``model``, in one line; what other libraries say is cut."""
    if not isinstance(error, ValidationError):
        return short(error) or type(error).__name__
    where, must, _ = explain(error, model)
    return short(f"'{where}' {must}" if where else must)


def place(parts: Iterable[str]) -> str:
    """Where a value stands; members of a list by their number, from 0.

    >>> place(["attacks", "0", "name"])
    'attacks[0].name'
    """
    return "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in parts).removeprefix(".")


def option_of(where: str) -> str:
    """The option that a place begins with.

    >>> option_of("alpha[0]"), option_of("split.victims")
    ('alpha', 'split')
    """
    return re.split(r"[.\[]", where, maxsplit=1)[0]


def written(loc: tuple[int | str, ...], model: type[BaseModel]) -> Iterator[str]:
    """The parts of a place that the user wrote: pydantic also names the members of a union that it tried."""
    current: Any = model
    for part in loc:
        fields = current.model_fields if isinstance(current, type) and issubclass(current, BaseModel) else {}
        if part in fields:
            current = fields[str(part)].annotation
        elif isinstance(part, int) and typing.get_origin(current) in (list, tuple):
            members = typing.get_args(current)
            current = members[min(part, len(members) - 1)] if members[-1] is not Ellipsis else members[0]
        elif (not isinstance(part, int) and fields and part != loc[-1]) or (not isinstance(part, int) and not fields):
            return
        yield str(part)


def _must(item: Any) -> str:
    kind, facts = item["type"], item.get("ctx", {})
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "is unknown"
    if kind == "json_invalid":
        return f"is no JSON: {facts['error']}"
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
