"""Scoring of reconstructions: MS-SSIM and PSNR, whole and within the brain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.errors import ClaimError, OptionError
from privaudit.imaging.patches import Shape, cut, grid_positions
from privaudit.msssim import PROFILES, Profile, ms_ssim, profile_for, reference_ms_ssim

PSNR_CAP = 100.0
"""PSNR in dB of an exact copy, whose error is 0."""
WORST_SIDE = 32
"""Side of the patches among which the worst is looked for where whole volumes are scored."""
BRAIN_SHARE = 0.25
"""Least share of brain voxels in a patch that is scored; air is easy to copy."""

Metric = Literal["ms_ssim", "psnr", "ms_ssim_brain", "psnr_brain", "ms_ssim_worst"]
METRICS: tuple[Metric, ...] = ("ms_ssim", "psnr", "ms_ssim_brain", "psnr_brain", "ms_ssim_worst")
PRIMARY_METRIC: Metric = "ms_ssim"


PatchScores = dict[str, list[float]]
"""By corner: MS-SSIM, that within the brain, summed squared error, that within the brain, brain voxels, voxels."""


def corner_name(corner: Sequence[int]) -> str:
    """A patch's name in tables.

    >>> corner_name([0, 32, 64])
    '0-32-64'
    """
    return "-".join(str(int(place)) for place in corner)


def pool(patches: PatchScores) -> dict[Metric, float]:
    """The metrics of a claim over some patches: similarities averaged, squared errors put together, and the worst."""
    whole, inside, error, error_inside, brain, voxels = np.array(list(patches.values())).T
    return {
        "ms_ssim": float(whole.mean()),
        "psnr": psnr(float(error.sum() / voxels.sum())),
        "ms_ssim_brain": float(inside.mean()),
        "psnr_brain": psnr(float(error_inside.sum() / max(brain.sum(), 1))),
        "ms_ssim_worst": float(whole.max()),
    }


@dataclass(frozen=True)
class ImageScorer:
    """How reconstructions are compared with the truth; printed in every record.

    Attributes:
        profile: the MS-SSIM profile.
        patch: side of the patches that are scored in voxels, None to score whole volumes.
        implementation: 'fast', or 'reference' for pytorch-msssim.
    """

    profile: Profile
    patch: int | None
    implementation: Literal["fast", "reference"] = "fast"

    def describe(self) -> str:
        """One line for the record."""
        where = (
            "whole volumes" if self.patch is None else f"{self.patch}³ patches with ≥ {BRAIN_SHARE:.0%} brain, averaged"
        )
        return f"{self.profile.describe()}; {where}; {self.implementation}"

    def score(
        self, claim: Tensor, truth: Tensor, brain: NDArray[np.bool_], by_patch: PatchScores | None = None
    ) -> dict[Metric, float]:
        """Score one claim [X, Y, Z] against the truth, both in [0, 1].

        Within the brain, MS-SSIM averages its map over the brain alone (:func:`~privaudit.msssim.ms_ssim`), and PSNR
        the squared error; the worst patch is the one that is most alike. ``by_patch`` saves comparing patches again
        that were compared.
        """
        mask = torch.from_numpy(brain)
        if self.patch is None:
            whole = self._similarity(claim, truth)
            inside = float(_within(claim[None], truth[None], mask[None], self.profile, torch.tensor([whole])))
            worst = self._worst(claim, truth, brain, whole)
        else:
            similar = np.array(list((by_patch or self.by_patch(claim, truth, brain)).values()))[:, :2]
            whole, inside = similar.mean(axis=0).tolist()
            worst = float(similar[:, 0].max())
        return {
            "ms_ssim": whole,
            "psnr": psnr((claim - truth).double().square().mean().item()),
            "ms_ssim_brain": inside,
            "psnr_brain": psnr((claim - truth)[mask].double().square().mean().item()),
            "ms_ssim_worst": worst,
        }

    def _worst(self, claim: Tensor, truth: Tensor, brain: NDArray[np.bool_], whole: float) -> float:
        """MS-SSIM of the patch of 32³ voxels that is most alike; of the volume where it has no room for one."""
        if min(claim.shape) < WORST_SIDE:
            return whole
        corners, size = brain_patches(brain, WORST_SIDE), (WORST_SIDE,) * 3
        profile = PROFILES[f"patch{WORST_SIDE}"]
        return float(self._function(cut(claim, corners, size), cut(truth, corners, size), profile).max())

    def by_patch(
        self, claim: Tensor, truth: Tensor, brain: NDArray[np.bool_], positions: NDArray[np.int64] | None = None
    ) -> PatchScores:
        """Score the grid's patches that hold brain one by one, or those of them at ``positions`` [P, 3].

        Raises:
            ClaimError: whole volumes are scored here, or none of the patches is one that is scored.
        """
        if self.patch is None:
            raise ClaimError("claims of some patches cannot be scored where whole volumes are")
        corners = brain_patches(brain, self.patch)
        if positions is not None:
            wanted = {tuple(corner) for corner in positions.tolist()}
            corners = np.array([corner for corner in corners.tolist() if tuple(corner) in wanted], dtype=np.int64)
        if not len(corners):
            raise ClaimError("none of the patches that were attacked is one that is scored")
        size: Shape = (self.patch,) * 3
        mask = cut(torch.from_numpy(brain).float(), corners, size)
        one, other = cut(claim, corners, size), cut(truth, corners, size)
        error = (one - other).double().square()
        whole = self._function(one, other, self.profile).double()
        columns = [
            whole,
            _within(one, other, mask, self.profile, whole),
            error.flatten(1).sum(dim=1),
            (error * mask).flatten(1).sum(dim=1),
            mask.double().flatten(1).sum(dim=1),
            torch.full((len(corners),), float(self.patch**3), dtype=torch.float64),
        ]
        values = torch.stack(columns, dim=1).tolist()
        return {corner_name(corner): row for corner, row in zip(corners.tolist(), values, strict=True)}

    @property
    def _function(self) -> Callable[[Tensor, Tensor, Profile], Tensor]:
        return ms_ssim if self.implementation == "fast" else reference_ms_ssim

    def _similarity(self, claim: Tensor, truth: Tensor) -> float:
        return float(self._function(claim[None], truth[None], self.profile).item())


def _within(one: Tensor, other: Tensor, mask: Tensor, profile: Profile, whole: Tensor) -> Tensor:
    """MS-SSIM within the brain [B]; of the whole where the brain is too small to say.

    Both images are 0 outside, so that nothing there changes the figure, and the map is averaged inside alone, so that
    air, which is easy to copy, is no likeness.
    """
    inside = ms_ssim(one * mask, other * mask, profile, mask)
    return torch.where(inside.isnan(), whole, inside)


def brain_patches(brain: NDArray[np.bool_], patch: int) -> NDArray[np.int64]:
    """Corners of the grid's patches that hold enough brain; the fullest one if none does."""
    shape: Shape = (brain.shape[0], brain.shape[1], brain.shape[2])
    positions = grid_positions(shape, (patch,) * 3, (patch,) * 3)
    share = cut(torch.from_numpy(brain).float(), positions, (patch,) * 3).flatten(1).mean(dim=1).numpy()
    keep = share >= min(BRAIN_SHARE, float(share.max()))
    return positions[keep]


def psnr(mean_square_error: float) -> float:
    """Peak signal-to-noise ratio in dB for intensities in [0, 1], capped at :data:`PSNR_CAP`."""
    if mean_square_error <= 0:
        return PSNR_CAP
    return min(PSNR_CAP, float(-10 * np.log10(mean_square_error)))


def choose_scorer(
    shape: Shape, patch_size: int | None, profile: str, implementation: Literal["fast", "reference"]
) -> ImageScorer:
    """Pick what to score on: the defense's patches where it works on patches, else whole volumes.

    Args:
        shape: volume in voxels.
        patch_size: the defense's, or None.
        profile: 'auto', or a profile's name; 'patch32' and 'patch64' score patches of that side, others whole volumes.
        implementation: 'fast' or 'reference'.

    Raises:
        OptionError: no such profile, or it does not fit the volume.
    """
    if profile == "auto":
        if patch_size is None:
            return ImageScorer(profile_for(shape), None, implementation)
        side = 64 if patch_size >= 64 and min(shape) >= 64 else 32
        profile = f"patch{side}"
        if min(shape) < side:
            return ImageScorer(profile_for(shape), None, implementation)
    if profile not in PROFILES:
        raise OptionError("no such MS-SSIM profile", got=profile, allowed=", ".join(["auto", *PROFILES]))
    chosen = PROFILES[profile]
    patch = int(profile.removeprefix("patch")) if profile.startswith("patch") else None
    if patch is not None and patch > min(shape):
        raise OptionError(f"profile '{profile}' scores patches that do not fit the volume", got=shape)
    if patch is None and not chosen.fits(shape):
        raise OptionError(f"profile '{profile}' does not fit the volume", got=shape, todo="use scoring.profile: auto")
    return ImageScorer(chosen, patch, implementation)
