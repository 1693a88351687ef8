"""Specifications of audits and trainings: the parts that both have, and reading them from YAML."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from privaudit.errors import OptionError, nearest
from privaudit.files import read_text
from privaudit.validation import explain

SpecT = TypeVar("SpecT", bound=BaseModel)


class PluginSpec(BaseModel):
    """A plugin by name; every other key is one of its options."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    @property
    def values(self) -> dict[str, Any]:
        """The options as given, unchecked: the plugin checks them."""
        return dict(self.model_extra or {})


class Section(BaseModel):
    """A part of a specification: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _check_role(value: Any) -> Any:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    good = (
        0 < value < 1 or (isinstance(value, int) and value > 0) if plain else isinstance(value, str) and value.strip()
    )
    if not good:
        raise ValueError("must be a share above 0 and below 1, a number of people, or a file that names them")
    return value


Role = Annotated[float | int | str, BeforeValidator(_check_role)]


class SplitSpec(Section):
    """The people in each role: a share of them, a number, or a file with a name in each line."""

    victims: Role = 0.5
    pool: Role = 0.25
    population: Role = 0.25

    @property
    def told(self) -> dict[str, Any]:
        """What may stand in a record: of a file, its name."""
        return {k: Path(v).name if isinstance(v, str) else v for k, v in self.model_dump(mode="json").items()}


def digest_of(spec: BaseModel) -> str:
    """Eight hex digits that name a specification."""
    text = json.dumps(spec.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def validate_spec(model: type[SpecT], sections: Mapping[str, type[BaseModel]], data: Any, source: str) -> SpecT:
    """Check a specification against its model.

    Args:
        model: what it must be.
        sections: models of its parts, to name the nearest key where one is unknown.
        data: as read from YAML.
        source: where it comes from, for messages.

    Raises:
        OptionError: an unknown key or an unusable value.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        where, must, got = explain(error, model)
        if first["type"] == "extra_forbidden":
            section = sections.get(str(first["loc"][0]), model)
            raise OptionError(
                f"{source} has an unknown key '{where}'", todo=nearest(str(first["loc"][-1]), section.model_fields)
            ) from None
        place = f"'{where}' " if where else ""
        raise OptionError(f"{source}: {place}{must}", got=got if where else None) from None


def named(item: Any) -> Any:
    """A plugin given by name alone, written as a mapping; anything else as it is."""
    return {"name": item} if isinstance(item, str) else item


def read_yaml(path: Path, what: str, todo: str) -> Any:
    """Read a YAML file.

    Raises:
        OptionError: the file is missing (``what`` it should be, and what ``todo``), cannot be read, or is not YAML.
    """
    if not path.is_file():
        raise OptionError(f"no {what} there", got=path, todo=todo)
    return load_yaml(read_text(path, OptionError, todo), str(path))


def load_yaml(text: str, source: str) -> Any:
    """Read YAML.

    Raises:
        OptionError: ``source`` is not YAML: a date or a number that is none, say, or nesting beyond all measure.
    """
    try:
        return yaml.safe_load(text)
    except (
        yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise OptionError(f"{source} is not YAML: {reason}") from None
