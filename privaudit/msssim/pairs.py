"""MS-SSIM of pairs of volumes or patches, and the same by pytorch-msssim."""

from __future__ import annotations

import torch
from torch import Tensor

from privaudit.errors import OptionError, PrivauditError
from privaudit.msssim.level import Moments, compare_moments, halve, write_moments
from privaudit.msssim.profile import Profile


@torch.no_grad()
def ms_ssim(x: Tensor, y: Tensor, profile: Profile, mask: Tensor | None = None) -> Tensor:
    """Return the multi-scale structural similarity of each pair of volumes, or within a mask, without gradient.

    Wang, Simoncelli & Bovik, "Multiscale structural similarity for image quality assessment" (2003), in 3-D. The
    values are those of pytorch-msssim to 1e-5, but a term that round-off lifts above 1 counts as 1.

    The terms are means over a map of local similarities. With a mask each is a mean weighted by the mask at the
    window's centre, which at coarser levels is the share of the mask in a voxel. What lies outside counts as far as
    windows reach, and no further: air, which is easy to copy, is no similarity. A level on which no window is centred
    within the mask is left out, and the other levels' weights are raised to the same sum.

    Args:
        x: ``[B, X, Y, Z]`` or ``[B, 1, X, Y, Z]``, float32 or float64, intensities in [0, profile.data_range]; copied
            to the CPU if it lies elsewhere.
        y: the same shape, dtype and device.
        profile: scales, window and constants.
        mask: None, or ``[B, X, Y, Z]``, true or from 0 to 1 where the mask is.

    Returns:
        ``[B]``, of the inputs' dtype, in [0, 1]; NaN where no window is centred within the mask on any level.

    Raises:
        OptionError: the tensors disagree, are of another kind, or are too small for the profile.
    """
    x, y = _as_batch(x, y, profile)
    value, used = torch.ones(len(x), dtype=torch.float64), torch.zeros(len(x), dtype=torch.float64)
    images = [volume.cpu().contiguous() for volume in ((x, y) if mask is None else (x, y, mask.to(x)))]
    for level, (shape, weight) in enumerate(zip(profile.level_shapes(x.shape[1:]), profile.weights, strict=True)):
        if level:
            images = [halve(image) for image in images]
        of_x, of_y = (Moments.empty(1, shape, profile.window, x.dtype) for _ in (x, y))
        for number in range(len(x)):
            share = None if mask is None else _at_centres(images[2][number], profile.window)
            if share is not None and not share.any():
                continue
            for image, moments in zip(images, (of_x, of_y), strict=False):
                write_moments(image[number : number + 1], profile, into=moments)
            term = compare_moments(of_x, of_y, profile, last=level == profile.levels - 1, share=share)
            value[number] *= term.item() ** weight
            used[number] += weight
    return torch.where(used > 0, value ** (sum(profile.weights) / used), torch.nan).to(x)


@torch.no_grad()
def reference_ms_ssim(x: Tensor, y: Tensor, profile: Profile) -> Tensor:
    """Return what ``ms_ssim`` returns, computed by pytorch-msssim; arguments and result are the same.

    Raises:
        OptionError: as ``ms_ssim``, or the library refuses the shape: whatever the number of levels, its second and
            third sides must exceed (window - 1) * 16.
        PrivauditError: pytorch-msssim is not installed.
    """
    x, y = _as_batch(x, y, profile)
    too_short = (profile.window - 1) * 16
    if min(x.shape[-2:]) <= too_short:
        raise OptionError(
            f"pytorch-msssim cannot run window {profile.window} on this volume",
            got=f"shape {tuple(x.shape[1:])}",
            allowed=f"second and third sides above {too_short} voxels",
            todo="use privaudit.msssim.ms_ssim, which can",
        )
    try:
        import pytorch_msssim
    except ImportError:
        raise PrivauditError(
            "pytorch-msssim is not installed", todo="run: pip install 'privaudit[reference]'"
        ) from None
    value: Tensor = pytorch_msssim.ms_ssim(
        x[:, None],
        y[:, None],
        data_range=profile.data_range,
        size_average=False,
        win_size=profile.window,
        win_sigma=profile.sigma,
        weights=list(profile.weights),
        K=(profile.k1, profile.k2),
    )
    return value


def _at_centres(mask: Tensor, window: int) -> Tensor:
    """What a mask [X, Y, Z] is at the centre of every window."""
    edge = window // 2
    return mask[tuple(slice(edge, side - window + 1 + edge) for side in mask.shape)]


def _as_batch(x: Tensor, y: Tensor, profile: Profile) -> tuple[Tensor, Tensor]:
    """Return both as ``[B, X, Y, Z]``, or raise ``OptionError``."""
    if x.shape != y.shape or x.dtype != y.dtype or x.device != y.device:
        raise OptionError(
            "MS-SSIM compares tensors of one shape, dtype and device",
            got=f"{tuple(x.shape)} {x.dtype} {x.device} and {tuple(y.shape)} {y.dtype} {y.device}",
        )
    if x.dtype not in (torch.float32, torch.float64):
        raise OptionError("MS-SSIM compares floating-point images", got=x.dtype, allowed="float32, float64")
    if x.ndim == 5 and x.shape[1] == 1:
        x, y = x[:, 0], y[:, 0]
    if x.ndim != 4:
        raise OptionError("MS-SSIM compares batches", got=f"shape {tuple(x.shape)}", allowed="[B, (1,) X, Y, Z]")
    profile.require(x.shape[1:])
    return x, y
