"""The audit specification: what to audit, as a YAML file or as command-line options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, Field, model_validator

from privaudit.auditing.battery import BATTERY, BUDGETS, STANDARD, named_battery
from privaudit.errors import OptionError
from privaudit.scoring.settings import ScoringSpec
from privaudit.specs import PluginSpec, Section, Seed, SplitSpec, digest_of, named, read_yaml, validate_spec


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


class PictureSpec(Section):
    """Whose pictures are attacked: a picture takes longer than a name, and fewer decide."""

    scans: Literal["first", "all"] = Field(default="first", description="each person's first session, or every one")
    people: Annotated[int, Field(ge=2)] | None = Field(
        default=24, description="so many of the victims; null for all. Identity is always attacked on all"
    )


QUICK_SECONDS: Final = 1800.0
"""What the budget 'quick' gives a job; with the default cohort none takes more than two minutes."""


class AuditSpec(Section):
    """One audit."""

    dataset: PluginSpec = PluginSpec(name="phantom")
    defense: PluginSpec = PluginSpec(name="mixup")
    attacks: tuple[PluginSpec, ...] = BATTERY["quick"]
    seed: Seed = 0
    split: SplitSpec = SplitSpec()
    scoring: ScoringSpec = ScoringSpec()
    utility: UtilitySpec = UtilitySpec()
    pictures: PictureSpec = PictureSpec()
    controls: Literal["auto", "single", "graded"] = Field(
        default="auto",
        description="planted leaks: 90 % of the raw image; graded: also 50, 20, 10, 5 and 2 %, for detection limits;"
        " auto: graded for attacks that are cheap",
    )
    seconds_per_job: Annotated[float, Field(gt=0)] | None = Field(
        default=None,
        description="an attack that takes longer on one arm is stopped, and its silence says nothing; in the budget"
        f" 'quick' {QUICK_SECONDS:g} where nothing is said",
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
    def battery(self) -> str | None:
        """Version and budget of the standard battery, if that is what is run, with the settings that belong to it."""
        usual = (self.scoring, self.pictures, self.controls, self.seconds_per_job)
        if usual != (ScoringSpec(msssim=self.scoring.msssim), PictureSpec(), "auto", None):
            return None
        return named_battery(self.attacks)

    @property
    def time_limit(self) -> float | None:
        """Seconds that a job may take; None for as long as it likes."""
        quick = self.seconds_per_job is None and self.attacks == BATTERY["quick"]
        return QUICK_SECONDS if quick else self.seconds_per_job

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
    if "attacks" in data or "budget" in data:
        data["attacks"] = expand(data.get("attacks", STANDARD), data.pop("budget", None), source)
    return validate_spec(AuditSpec, SECTIONS, data, source)


SECTIONS: Final[dict[str, type[BaseModel]]] = {
    "split": SplitSpec, "scoring": ScoringSpec, "utility": UtilitySpec, "pictures": PictureSpec,
}  # fmt: skip
"""Parts of a specification that have keys of their own."""


def expand(attacks: Any, budget: Any, source: str) -> Any:
    """Attacks in which 'standard' is replaced with the battery of a budget, less what is given itself.

    Raises:
        OptionError: no such budget, or a budget without the battery.
    """
    if budget is not None and budget not in BUDGETS:
        raise OptionError(f"{source}: no such budget", got=repr(budget), allowed=", ".join(BUDGETS))
    items = [attacks] if isinstance(attacks, str) else attacks
    if not isinstance(items, list | tuple):
        return attacks
    if budget is not None and STANDARD not in items:
        raise OptionError(
            f"{source}: a budget is one of the battery '{STANDARD}'", got=repr(budget), todo=f"add attack {STANDARD}"
        )
    given = [named(item) for item in items]
    own = [item.get("name") for item in given if isinstance(item, dict)]
    battery = [attack.model_dump() for attack in BATTERY[budget or "quick"] if attack.name not in own]
    return tuple(attack for item in given for attack in (battery if item == named(STANDARD) else [item]))


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
