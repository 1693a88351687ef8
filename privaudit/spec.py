"""The audit specification: what to audit, as a YAML file or as command-line options."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from privaudit.errors import OptionError, nearest

SpecT = TypeVar("SpecT", bound=BaseModel)


class PluginSpec(BaseModel):
    """A plugin by name; every other key is one of its options."""

    model_config = ConfigDict(extra="allow", frozen=True)
    name: str

    @property
    def values(self) -> dict[str, Any]:
        """The options as given, unchecked: the plugin checks them."""
        return dict(self.model_extra or {})


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Share = Annotated[float, Field(gt=0, lt=1)]


class SplitSpec(_Section):
    """Share of the people in each role."""

    victims: Share = 0.5
    pool: Share = 0.25
    population: Share = 0.25


class ScoringSpec(_Section):
    """How figures become verdicts."""

    profile: str = Field(default="auto", description="MS-SSIM profile for reconstructions")
    msssim: Literal["fast", "reference"] = Field(default="fast", description="'reference' is pytorch-msssim")
    margin_image: Annotated[float, Field(ge=0)] = Field(default=0.02, description="least MS-SSIM gain that counts")
    margin_identity: Annotated[float, Field(ge=0)] = Field(
        default=0.05, description="least mAP above chance that counts"
    )
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    resamples: Annotated[int, Field(ge=200)] = 5000
    min_subjects: Annotated[int, Field(ge=2)] = Field(default=10, description="fewer people decide nothing")


class UtilitySpec(_Section):
    """How the other half of the card is measured."""

    weights: str = Field(
        default="auto",
        description="trained weights: a folder, or shipped ones by name; 'auto': shipped ones that fit; 'none': do not",
    )
    plain_weights: str = Field(default="auto", description="the same, trained without encoding, for comparison")
    scans: Literal["first", "all"] = Field(default="first", description="each person's first session, or every one")
    people: Annotated[int, Field(ge=2)] | None = Field(
        default=12, description="so many of the victims are segmented, null for all: it is the slow part on a CPU"
    )


class AuditSpec(_Section):
    """One audit."""

    dataset: PluginSpec = PluginSpec(name="phantom")
    defense: PluginSpec = PluginSpec(name="mixup")
    attacks: tuple[PluginSpec, ...] = (PluginSpec(name="reid"), PluginSpec(name="average"))
    seed: int = 0
    split: SplitSpec = SplitSpec()
    scoring: ScoringSpec = ScoringSpec()
    utility: UtilitySpec = UtilitySpec()

    @model_validator(mode="after")
    def _distinct(self) -> AuditSpec:
        names = [attack.name for attack in self.attacks]
        if not names:
            raise ValueError("attacks: at least one is needed")
        if len(set(names)) != len(names):
            raise ValueError("attacks: one is listed twice")
        return self

    @property
    def digest(self) -> str:
        """Eight hex digits that name this specification."""
        return digest_of(self)


def digest_of(spec: BaseModel) -> str:
    """Eight hex digits that name a specification."""
    text = json.dumps(spec.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def parse_spec(data: Any, source: str) -> AuditSpec:
    """Check a specification read from YAML; a plugin may be given by name alone.

    Raises:
        OptionError: an unknown key (the nearest one is offered) or an unusable value.
    """
    if not isinstance(data, dict):
        raise OptionError(f"{source} is no audit specification", got=type(data).__name__, todo="see 'privaudit init'")
    data = dict(data)
    for key in ("dataset", "defense"):
        if key in data:
            data[key] = named(data[key])
    if isinstance(data.get("attacks"), list):
        data["attacks"] = tuple(named(item) for item in data["attacks"])
    sections: dict[str, type[BaseModel]] = {"split": SplitSpec, "scoring": ScoringSpec, "utility": UtilitySpec}
    return validate_spec(AuditSpec, sections, data, source)


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
        where = ".".join(str(part) for part in first["loc"]) or "specification"
        if first["type"] == "extra_forbidden":
            section = sections.get(str(first["loc"][0]), model)
            raise OptionError(
                f"{source} has an unknown key '{where}'", todo=nearest(str(first["loc"][-1]), section.model_fields)
            ) from None
        raise OptionError(f"{source}: '{where}': {first['msg']}", got=repr(first.get("input"))) from None


def named(item: Any) -> Any:
    """A plugin given by name alone, written as a mapping; anything else as it is."""
    return {"name": item} if isinstance(item, str) else item


def read_spec(path: Path) -> AuditSpec:
    """Read a specification from a YAML file.

    Raises:
        OptionError: the file is missing, is not YAML, or does not fit.
    """
    return parse_spec(read_yaml(path, "audit specification", "write one with 'privaudit init'"), str(path))


def read_yaml(path: Path, what: str, todo: str) -> Any:
    """Read a YAML file.

    Raises:
        OptionError: the file is missing (``what`` it should be, and what ``todo``), or is not YAML.
    """
    if not path.is_file():
        raise OptionError(f"no {what} there", got=path, todo=todo)
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise OptionError(f"{path} is not YAML: {' '.join(str(error).split())}") from None


def dump_spec(spec: AuditSpec) -> str:
    """The specification as YAML, every option written out."""
    text: str = yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False)
    return text
