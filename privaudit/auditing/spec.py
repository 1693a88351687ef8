"""The audit specification: what to audit, as a YAML file or as command-line options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, Field, model_validator

from privaudit.errors import OptionError
from privaudit.scoring.settings import ScoringSpec
from privaudit.specs import PluginSpec, Section, SplitSpec, digest_of, named, read_yaml, validate_spec


class UtilitySpec(Section):
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


class AuditSpec(Section):
    """One audit."""

    dataset: PluginSpec = PluginSpec(name="phantom")
    defense: PluginSpec = PluginSpec(name="mixup")
    attacks: tuple[PluginSpec, ...] = (PluginSpec(name="reid"), PluginSpec(name="average"))
    seed: int = 0
    split: SplitSpec = SplitSpec()
    scoring: ScoringSpec = ScoringSpec()
    utility: UtilitySpec = UtilitySpec()
    controls: Literal["single", "graded"] = Field(
        default="single",
        description="planted leaks: 90 % of the raw image; graded: also 50, 20, 10, 5 and 2 %, for detection limits",
    )

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


def read_spec(path: Path) -> AuditSpec:
    """Read a specification from a YAML file.

    Raises:
        OptionError: the file is missing, is not YAML, or does not fit.
    """
    return parse_spec(read_yaml(path, "audit specification", "write one with 'privaudit init'"), str(path))


def dump_spec(spec: AuditSpec) -> str:
    """The specification as YAML, every option written out."""
    text: str = yaml.safe_dump(spec.model_dump(mode="json"), sort_keys=False)
    return text
