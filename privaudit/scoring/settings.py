"""Settings of scoring: how figures become verdicts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from privaudit.specs import Section


class ScoringSpec(Section):
    """How figures become verdicts."""

    profile: str = Field(default="auto", description="MS-SSIM profile for reconstructions")
    msssim: Literal["fast", "reference"] = Field(default="fast", description="'reference' is pytorch-msssim")
    margin_image: Annotated[float, Field(ge=0)] = Field(default=0.02, description="least MS-SSIM gain that counts")
    margin_identity: Annotated[float, Field(ge=0)] = Field(
        default=0.05, description="least mAP above chance that counts"
    )
    margin_map: Annotated[float, Field(ge=0)] = Field(
        default=0.05, description="least gain that counts of label maps, in mean Dice over structures"
    )
    margin_attribute: Annotated[float, Field(ge=0)] = Field(
        default=0.1, description="least gain that counts of claims about age (R²) and sex (AUC)"
    )
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    resamples: Annotated[int, Field(ge=200, le=1_000_000)] = 5000
    min_subjects: Annotated[int, Field(ge=2)] = Field(default=10, description="fewer people decide nothing")
