"""Trained priors: a folder that diffusers reads as a pipeline, with our config and a model card beside it."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from privaudit.errors import OptionError
from privaudit.files import is_file, is_folder, write_text
from privaudit.results.markdown import code, escape
from privaudit.segmentation.model_card import pretrained_text
from privaudit.segmentation.networks import parameters
from privaudit.segmentation.server_net import STEP
from privaudit.segmentation.weights import check_origin, check_tensors, unreadable

if TYPE_CHECKING:
    from privaudit.prior.network import ScoreNet

CONFIG, CARD, SCORE = "prior.json", "README.md", "score"
NUMBERS = "diffusion_pytorch_model.safetensors"
SHIPPED = Path(__file__).parent / "shipped"


class Level(BaseModel):
    """Held-out figures at one noise level.

    Attributes:
        sigma: the level.
        error: mean of ``(σ s + n)²`` over voxels of held-out people's patches, so that denoising errs by ``σ² error``.
        trivial: the same of the best predictor that knows the voxels' mean and variance alone.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    sigma: Annotated[float, Field(gt=0)]
    error: Annotated[float, Field(gt=0)]
    trivial: Annotated[float, Field(gt=0)]


class PriorConfig(BaseModel):
    """What a prior is for, and what made it.

    Attributes:
        voxel_mm: voxel size it was trained at.
        patch_size: side of the patches.
        mean: of the training patches' voxels, or of their difference to the atlas where the network is told it.
        sd: their standard deviation.
        levels: held-out errors, largest level first.
        dataset: name, options, fingerprint and number of people it was trained on.
        people: marks of the training people.
        training: options, steps done, seconds, device, version.
        sha256: of the network's file; None where a version wrote it that told none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
    voxel_mm: Annotated[float, Field(gt=0)]
    patch_size: Annotated[int, Field(ge=2 * STEP, le=1024, multiple_of=STEP)]
    mean: float
    sd: Annotated[float, Field(gt=0)]
    levels: Annotated[list[Level], Field(min_length=1)]
    dataset: dict[str, Any]
    people: list[str]
    training: dict[str, Any]
    sha256: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> PriorConfig:
        check_origin(self.dataset, ("name", "kind"))
        return self


@dataclass(frozen=True)
class Prior:
    """A score network in evaluation mode, its config, and the hash of its weights (12 hex digits)."""

    name: str
    config: PriorConfig
    network: ScoreNet
    digest: str

    def spread(self, sigma: float) -> float:
        """Variance that is left of a voxel once its patch is seen through noise of level σ: the held-out error."""
        logs = [[np.log(level.sigma), np.log(level.sigma**2 * level.error)] for level in reversed(self.config.levels)]
        x, y = np.array(logs).T
        return float(np.exp(np.interp(np.log(sigma), x, y)))

    def context(self, corners: Tensor, atlas: Tensor) -> Tensor | None:
        """What the network is told of patches cut at ``corners`` [B, 3], given the attacker's atlas [X, Y, Z]."""
        from privaudit.prior.network import context_of

        return context_of(self.network.context, corners, self.config.patch_size, atlas)


def save_prior(folder: Path, config: PriorConfig, network: ScoreNet) -> None:
    """Write the folder, the config last: without it the folder is not taken for a prior."""
    from privaudit.prior.pipeline import AnnealedLangevinScheduler, PatchPipeline

    scheduler = AnnealedLangevinScheduler([level.sigma for level in config.levels])
    PatchPipeline(network, scheduler).save_pretrained(folder, safe_serialization=True)
    digest = hashlib.sha256((folder / SCORE / NUMBERS).read_bytes()).hexdigest()
    config = config.model_copy(update={"sha256": digest})
    write_text(folder / CARD, model_card(folder.name, config, network))
    write_text(folder / CONFIG, json.dumps(config.model_dump(mode="json"), indent=1) + "\n")


def load_prior(folder: Path) -> Prior:
    """Read a folder that ``privaudit train --prior`` wrote, or a shipped prior by name.

    Raises:
        OptionError: nothing is there.
        PrivauditError: it is damaged.
    """
    from privaudit.prior.network import ScoreNet  # diffusers takes seconds to import

    if len(folder.parts) == 1 and not is_folder(folder) and is_file(SHIPPED / folder.name / CONFIG):
        folder = SHIPPED / folder.name
    if not is_file(folder / CONFIG):
        names = ", ".join(path.name for path in shipped_priors()) or "none"
        raise OptionError(
            "no trained prior there", got=folder, allowed=f"a folder with {CONFIG}, or shipped priors: {names}",
            todo="train one with 'privaudit train --prior'",
        )  # fmt: skip
    try:
        config = read_prior_config(folder)
        network = ScoreNet.from_pretrained(folder / SCORE, use_safetensors=True, low_cpu_mem_usage=False)
        digest = hashlib.sha256((folder / SCORE / NUMBERS).read_bytes()).hexdigest()
        check_tensors(network, digest, config.sha256)
    except Exception as error:  # what libraries say of a broken file can be anything
        raise unreadable("prior", folder, error, PriorConfig) from None
    return Prior(folder.name, config, network.eval(), digest[:12])


def read_prior_config(folder: Path) -> PriorConfig:
    """Read what a prior is for, without its weights."""
    return PriorConfig.model_validate_json((folder / CONFIG).read_text(encoding="utf-8"))


def shipped_priors() -> list[Path]:
    """Folders of the priors that come with the package, by name."""
    return sorted(path.parent for path in SHIPPED.glob(f"*/{CONFIG}"))


def model_card(name: str, config: PriorConfig, network: ScoreNet) -> str:
    """The model card, as Markdown."""
    training, data = config.training, config.dataset
    batch = training["options"]["batch"]
    simulated = f", {escape(data['simulated'])}" if data["simulated"] else ""
    levels = "\n".join(
        f"| {level.sigma:.3g} | {level.error:.4f} | {level.trivial:.4f} | {level.error / level.trivial:.3f} |"
        for level in config.levels
    )
    told = {
        "nothing": "not told where a patch lies",
        "positions": "told where in the volume a patch lies",
        "atlas": "told where in the volume a patch lies, and the mean of the attacker's sample there",
    }[network.context]
    return f"""# {escape(name)}

Score prior of raw patches, for source separation (`privaudit attack bss`), trained by privaudit {training["version"]}.

- **What**: `{network.architecture}`, size `{network.size}`, {parameters(network):,} numbers; patches of
  {config.patch_size}³ voxels of {config.voxel_mm:g} mm; {told}.
- **Trained on**: {code(data["name"])} ({data["kind"]} people{simulated}), {data["people"]} people, {
        data["scans"]
    } scans,
  data fingerprint `{data["fingerprint"][:12]}`.
- **How**: denoising score matching, {training["steps"]:,} steps of {batch} patches in
  {training["seconds"] / 60:.0f} minutes on {training["device"]} ({training["threads"]} threads){
        pretrained_text(training["pretrained"])
    }.
- **Command**: {code(training["command"])}

Held-out error, the mean of (σ s + n)² over voxels of {data["validation_people"]} people, beside the best predictor that
knows the voxels' mean and variance alone:

| σ | error | trivial | share |
|---|---|---|---|
{levels}
"""


def find_prior(kind: str, voxel_mm: float, patch_size: int) -> Prior | None:
    """The shipped prior that fits patches of so many voxels of such people ('virtual' or 'real'), or None."""
    for folder in shipped_priors():
        config = read_prior_config(folder)
        if config.dataset["kind"] == kind and prior_misfit(config, voxel_mm, patch_size) is None:
            return load_prior(folder)
    return None


def prior_for(wanted: str, dataset: str, kind: str, voxel_mm: float, patch_size: int) -> Prior:
    """The prior that was asked for, or, with 'auto', a shipped one that fits the data.

    Raises:
        OptionError: there is none, or it does not fit.
    """
    train = f"privaudit train --prior --dataset {dataset} --train.patch-size {patch_size}"
    if wanted == "auto":
        found = find_prior(kind, voxel_mm, patch_size)
        if found is None:
            raise OptionError(
                "no shipped prior fits these data", got=f"{kind} people, {voxel_mm:g} mm, patches of {patch_size}",
                todo=f"train one with '{train}' and the audit's split and seed, then give --prior FOLDER",
            )  # fmt: skip
        return found
    prior = load_prior(Path(wanted))
    reason = prior_misfit(prior.config, voxel_mm, patch_size)
    if reason is not None:
        raise OptionError(f"the prior '{prior.name}' does not fit: {reason}", todo=f"train one with '{train}'")
    return prior


def prior_misfit(config: PriorConfig, voxel_mm: float, patch_size: int) -> str | None:
    """Why a prior cannot be used on such patches, in words; None if it can."""
    if abs(config.voxel_mm - voxel_mm) > 0.05:
        return f"trained at {config.voxel_mm:g} mm, not {voxel_mm:g} mm"
    if config.patch_size != patch_size:
        return f"trained on patches of {config.patch_size}, not {patch_size}"
    return None


def score_sources(network: ScoreNet, sources: Tensor, sigma: float, context: Tensor | None, batch: int) -> Tensor:
    """Scores [N, S, *patch] of noisy sources [N, S, *patch] at one noise level, in batches of patches.

    Args:
        network: the prior's.
        sources: on any device.
        sigma: the level.
        context: what the network is told of each patch [N, C, *patch].
        batch: patches per evaluation.
    """
    count, number = sources.shape[:2]
    flat = sources.reshape(count * number, 1, *sources.shape[2:])
    places = None if context is None else context.repeat_interleave(number, dim=0)
    device = next(network.parameters()).device
    parts = []
    with torch.inference_mode():
        for start in range(0, len(flat), batch):
            some = slice(start, start + batch)
            level = torch.full((len(flat[some]),), sigma, device=device)
            place = None if places is None else places[some].to(device)
            parts.append(network(flat[some].to(device), level, place).to(sources))
    return torch.cat(parts).reshape(sources.shape)
