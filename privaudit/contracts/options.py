"""Typed options of plugins: declared as a pydantic model, filled from a spec or from ``key=value`` text."""

from __future__ import annotations

import types
import typing
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from privaudit.errors import OptionError, nearest, short
from privaudit.specs import quoted
from privaudit.validation import explain, option_of, shown
from privaudit.yaml_reading import load_value


class PluginOptions(BaseModel):
    """Base of every plugin's options: frozen, and an unknown name is an error.

    Give each field a type, a default and a ``Field(description=...)``: ``privaudit attacks show NAME`` prints them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


OptionsT = TypeVar("OptionsT", bound=PluginOptions)


def parse_options(
    model: type[OptionsT], values: Mapping[str, Any], owner: str, typed: Collection[str] = ()
) -> OptionsT:
    """Fill ``model`` from ``values``; text is read as YAML, so ``0.5``, ``[0, 1]`` and ``null`` mean what they say.

    Args:
        model: the options there are.
        values: by name.
        owner: whose options they are, for messages.
        typed: names that were typed on the command line, and are written as there in messages.

    Raises:
        OptionError: a name is unknown (the nearest one is offered) or a value does not fit its type.
    """
    known = list(model.model_fields)
    clean: dict[str, Any] = {}
    for key, value in values.items():
        name = key.replace("-", "_")
        if name not in known:
            raise OptionError(f"{owner} has no option '{short(key, 80)}'", todo=nearest(name, known))
        if name in clean:
            raise OptionError(f"{owner} option '{name}' is given twice", todo="remove one of them")
        clean[name] = _read(model, name, value, typed) if isinstance(value, str) else value
    try:
        return model.model_validate(clean)
    except ValidationError as error:
        where, must, got = explain(error, model)
        name = option_of(where)
        if name not in clean:
            raise OptionError(f"{owner}: {where} {must}".replace(":  ", ": ")) from None
        union = typing.get_origin(model.model_fields[name].annotation) in (types.UnionType, typing.Union)
        kinds = describe_type(typing.get_type_hints(model)[name]) if union else None
        raise OptionError(
            f"{owner} option '{spelled(short(where, 80), typed)}' {must}",
            got=shown(clean[name]) if union else got, allowed=kinds, todo=quoted(error.errors()[0]["type"]),
        ) from None  # fmt: skip


def spelled(name: str, typed: Collection[str]) -> str:
    """An option as the user wrote it: with dashes on the command line."""
    return f"--{name.replace('_', '-')}" if option_of(name) in typed else name


def _read(model: type[PluginOptions], name: str, text: str, typed: Collection[str]) -> Any:
    if accepts_text_only(model.model_fields[name].annotation):
        return text
    return load_value(text, f"option '{spelled(name, typed)}', given as {short(text, 80)!r},")


def accepts_text_only(annotation: object) -> bool:
    """Tell whether a value for this type should be left as typed (``str``, ``Path``, or either or ``None``)."""
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        parts = [a for a in typing.get_args(annotation) if a is not type(None)]
        return bool(parts) and all(accepts_text_only(part) for part in parts)
    return isinstance(annotation, type) and (issubclass(annotation, str) or annotation.__name__ == "Path")


def describe_options(model: type[PluginOptions]) -> list[tuple[str, str, str, str]]:
    """Return (name, type, default, description) for every option, in the order declared, as a user would type them."""
    hints = typing.get_type_hints(model, include_extras=False)
    rows = []
    for name, field in model.model_fields.items():
        default = "required" if field.is_required() else _typed(field.get_default(call_default_factory=True))
        rows.append((name, describe_type(hints[name]), default, field.description or ""))
    return rows


def describe_type(annotation: Any) -> str:
    """A type in words.

    >>> describe_type(int | None), describe_type(list[Literal["a", "b"]])
    ('int or null', 'list of a|b')
    """
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(describe_type(part) for part in inner)
    if origin is Literal:
        return "|".join(map(str, inner))
    if origin is list:
        return f"list of {describe_type(inner[0])}"
    if origin is tuple:
        return "[" + ", ".join(describe_type(part) for part in inner) + "]"
    if origin is dict:
        return "{" + ": ".join(describe_type(part) for part in inner) + "}"
    if annotation is type(None):
        return "null"
    return {"str": "text", "Path": "path"}.get(getattr(annotation, "__name__", ""), getattr(annotation, "__name__", ""))


def _typed(value: Any) -> str:
    """A default as it would be typed: YAML on one line."""
    plain = list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value
    text: str = yaml.safe_dump(plain, default_flow_style=True)
    return text.removesuffix("\n").removesuffix("\n...")
