"""Specifications of audits and trainings: the parts that both have, and reading them from YAML."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from privaudit.errors import OptionError, nearest, short
from privaudit.files import is_file, read_text
from privaudit.paths import told
from privaudit.validation import explain
from privaudit.yaml_reading import load_yaml

SpecT = TypeVar("SpecT", bound=BaseModel)


class PluginSpec(BaseModel):
    """A plugin by name; every other key is one of its options."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    @property
    def values(self) -> dict[str, Any]:
        """The options as given, unchecked: the plugin checks them."""
        return dict(self.model_extra or {})

    @property
    def label(self) -> str:
        """What names folders: the class's name where a plugin is given by its place."""
        return self.name.rpartition(":")[2]

    def told(self) -> dict[str, Any]:
        """What a record says of it: places and paths without their folders, which may carry names."""
        place, colon, name = self.name.rpartition(":")
        return {**told(self.model_dump(mode="json")), "name": f"{Path(place).name}{colon}{name}" if colon else name}


class Section(BaseModel):
    """A part of a specification: an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _check_role(value: Any) -> Any:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    good = (
        0 < value < 1 or (isinstance(value, int) and value > 0) if plain else isinstance(value, str) and value.strip()
    )
    if not good:
        raise ValueError("must be a share above 0 and below 1, a number of people, or a file that names them")
    return value


Role = Annotated[float | int | str, BeforeValidator(_check_role)]
Seed = Annotated[int, Field(ge=-(2**63), lt=2**63)]
"""What random generators take."""


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
        where = short(where, 80)
        if first["type"] == "extra_forbidden":
            section = sections.get(str(first["loc"][0]), model) if len(first["loc"]) > 1 else model
            raise OptionError(
                f"{source} has an unknown key '{where}'", todo=nearest(str(first["loc"][-1]), section.model_fields)
            ) from None
        place = f"'{_typed(where) if source == COMMAND_LINE else where}' " if where else ""
        raise OptionError(f"{source}: {place}{must}", got=got if where else None, todo=quoted(first["type"])) from None


COMMAND_LINE: Final = "command line"
"""Where values come from that were typed."""


def _typed(where: str) -> str:
    """An option as it is typed.

    >>> _typed("scoring.margin_image")
    '--scoring.margin-image'
    """
    return "--" + where.replace("_", "-")


def quoted(defect: str) -> str | None:
    """What to do about text that YAML reads as a number, a truth value or nothing."""
    return "put it in quotes, if it is meant as text" if defect == "string_type" else None


def named(item: Any) -> Any:
    """A plugin given by name alone, written as a mapping; anything else as it is."""
    return {"name": item} if isinstance(item, str) else item


def read_yaml(path: Path, what: str, todo: str) -> Any:
    """Read a YAML file.

    Raises:
        OptionError: the file is missing (``what`` it should be, and what ``todo``), cannot be read, or is not YAML.
    """
    if not is_file(path):
        raise OptionError(f"no {what} there", got=path, todo=todo)
    return load_yaml(read_text(path, OptionError, todo), str(path))
