"""The record: one versioned JSON file per audit. Reports, gate and comparison read only this (and its tables)."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from privaudit.results.overall import Verdict, overall

SCHEMA_VERSION = "1.1"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _ordered(interval: tuple[float, float]) -> tuple[float, float]:
    if interval[0] > interval[1]:
        raise ValueError("the interval's ends are in the wrong order")
    return interval


Number = Annotated[FiniteFloat | None, Field(description="null where the figure does not exist or is not finite")]
Interval = Annotated[tuple[FiniteFloat, FiniteFloat], AfterValidator(_ordered)]


class Comparison(_Model):
    """The attack against one trivial attacker, paired by scan."""

    name: str = Field(description="the trivial attacker: 'chance', 'atlas', 'random-subject', 'as-is', …")
    estimate: Number = Field(description="what the trivial attacker scores")
    difference: Number = Field(description="attack minus trivial attacker, paired")
    ci: Interval | None = Field(description="interval of the difference, clustered by subject")
    reads_transcript: bool = Field(description="whether this trivial attacker looks at the transcript at all")


class Control(_Model):
    """The positive control: the same attack on a planted leak. An attack that misses it cannot say 'no leak'."""

    description: str
    estimate: Number
    difference: Number = Field(description="attack minus best trivial attacker on the planted leak")
    ci: Interval | None
    passed: bool
    found: dict[str, bool] = Field(
        default_factory=dict, description="whether smaller leaks were found, by the planted share of the raw image"
    )
    limit: Number = Field(
        default=None,
        description="detection limit: the smallest share that is found, as is every greater one; null if not tried",
    )


class Curve(_Model):
    """One line of a plot: quality against gallery size, number of views and the like."""

    name: str
    x_label: str
    y_label: str
    x: list[float]
    y: list[float]
    low: list[float] | None = None
    high: list[float] | None = None
    chance: list[float] | None = None


class Finding(_Model):
    """One scored attack under one protocol, for one metric."""

    attack: str
    protocol: str
    victim: str = Field(
        description="whose privacy: 'target' (the person scanned), 'reference' (the owner of what was mixed in),"
        " 'identity' (who the person is), or another that the claim's kind names"
    )
    metric: str
    role: Literal["primary", "secondary", "baseline", "trivial"] = Field(
        description="primary findings decide; secondary ones support; baselines are attackers who do not look; trivial"
        " attackers who look and found nothing decide nothing either"
    )
    higher_is_leakier: bool
    estimate: Number
    ci: Interval | None
    confidence: float = 0.95
    baseline: Comparison | None = Field(description="the best trivial attacker, which decides the verdict")
    comparisons: list[Comparison] = Field(default_factory=list, description="every trivial attacker")
    chance: Number = Field(default=None, description="expected score of guessing, where that is defined")
    margin: float = Field(description="the least difference to the baseline that counts as a leak")
    control: Control | None
    n_subjects: int
    n_scans: int
    fits: bool = Field(
        default=True,
        description="false where the attack is not made for the scheme, or does worse than not looking, and only that"
        " keeps the finding from deciding",
    )
    verdict: Verdict | None = Field(description="null for findings that decide nothing")
    reason: str = Field(description="why this verdict, in one sentence")
    knowledge: list[str]
    params: dict[str, Any]
    details: dict[str, float | None] = Field(
        default_factory=dict, description="spread, deciles and other plain figures"
    )
    by_alpha: dict[str, float] = Field(
        default_factory=dict, description="the estimate by fifths of the target's mixing weight, where there is one"
    )
    notes: list[str] = Field(default_factory=list, description="what else a reader must know of how it was scored")
    curves: list[Curve] = Field(default_factory=list)
    table: str | None = Field(default=None, description="per-scan table, relative to the record's folder")
    seconds: float

    @property
    def key(self) -> str:
        """What identifies this finding across runs."""
        return f"{self.attack}/{self.protocol}/{self.victim}/{self.metric}"


class Utility(_Model):
    """How well the task is done on encoded images."""

    method: str
    structure: str
    metric: str
    estimate: Number
    ci: Interval | None
    n_subjects: int
    params: dict[str, Any] = Field(default_factory=dict)
    by_alpha: dict[str, float] = Field(
        default_factory=dict, description="the estimate by fifths of the target's mixing weight, where there is one"
    )
    curves: list[Curve] = Field(default_factory=list)


class Health(_Model):
    """One figure that says whether an attack works at all."""

    attack: str
    protocol: str
    name: str
    figure: Number
    allowed: str = Field(description="what the figure must be, in words")
    passed: bool


class DatasetInfo(_Model):
    """Which data."""

    name: str
    fingerprint: str
    subjects: int
    scans: int
    shape: tuple[int, int, int]
    voxel_mm: float
    simulated: str | None
    shareable: bool
    split: dict[str, int] = Field(description="number of people per role: victims, pool, population")
    params: dict[str, Any]
    notes: list[str] = Field(default_factory=list, description="what else must be known of the data")


class DefenseInfo(_Model):
    """Which scheme, with every option printed."""

    name: str
    params: dict[str, Any]
    flaws: list[str] = Field(default_factory=list, description="ways in which its training has collapsed")
    notes: list[str] = Field(default_factory=list, description="what else must be known of its training")


class Missing(_Model):
    """Something that was asked for and did not finish. It never passes."""

    attack: str
    protocol: str
    error: str


class Record(_Model):
    """One audit."""

    schema_version: str = SCHEMA_VERSION
    dataset: DatasetInfo
    defense: DefenseInfo
    seed: int
    findings: list[Finding]
    missing: list[Missing] = Field(default_factory=list)
    skipped: list[Missing] = Field(
        default_factory=list,
        description="protocols that this audit cannot run, and why; they were not asked for by name and decide nothing",
    )
    health: list[Health] = Field(default_factory=list, description="checks that attacks made of themselves")
    utility: list[Utility] = Field(default_factory=list)
    utility_note: str = Field(default="", description="why utility was not measured; empty if it was")
    verdict: Verdict
    reason: str
    settings: dict[str, Any] = Field(description="scoring settings: MS-SSIM profile, margins, resamples, split shares")
    provenance: dict[str, Any]

    @model_validator(mode="after")
    def _consistent(self) -> Record:
        keys = [finding.key for finding in self.findings]
        if len(set(keys)) != len(keys):
            raise ValueError("a finding is listed twice")
        if not isinstance(self.settings.get("scoring", {}), dict):
            raise ValueError("settings.scoring is no mapping")
        if self.verdict is not overall(self.findings, self.missing)[0]:
            raise ValueError("the verdict is not the one that its findings give")
        return self

    def primary(self) -> list[Finding]:
        """The findings that decide the verdict."""
        return [finding for finding in self.findings if finding.role == "primary"]

    def shown(self) -> list[Finding]:
        """The findings that decide, and those of trivial attackers who would have, had they found anything."""
        return [finding for finding in self.findings if finding.role in ("primary", "trivial")]

    def stable(self) -> dict[str, Any]:
        """The record without what may differ between two equal runs: seconds, and when and where it ran."""
        data = self.model_dump(mode="json")
        for finding in data["findings"]:
            finding.pop("seconds")
        data["provenance"] = {k: v for k, v in data["provenance"].items() if k in STABLE_PROVENANCE}
        return data


STABLE_PROVENANCE = frozenset({"version", "code", "weights"})


def finite(value: float | None) -> float | None:
    """Return the value, or None where it is NaN or infinite: JSON has no word for those."""
    return None if value is None or not math.isfinite(value) else float(value)
