"""MS-SSIM of pairs of volumes or patches, and the same by pytorch-msssim."""

from __future__ import annotations

import threading
from typing import Final

import torch
from torch import Tensor

from privaudit.errors import OptionError, PrivauditError
from privaudit.msssim.blur import Blur
from privaudit.msssim.level import compare_images, halve
from privaudit.msssim.profile import Profile

CHUNK_VOXELS: Final = 2**20
"""Voxels of each side that are compared at a time: 32 patches of 32 voxels cubed, or one volume."""


class _LastBlurs(threading.local):
    """Each thread's blurs of its last call, as fresh buffers cost more than they hold."""

    def __init__(self) -> None:
        self._key: object = None
        self._blurs: list[Blur] = []

    def blurs(self, profile: Profile, batch: int, like: Tensor) -> list[Blur]:
        """Return one blur per level, for ``batch`` images such as those of ``like`` ``[B, X, Y, Z]``."""
        key = profile, batch, like.shape[1:], like.dtype, like.device
        if key != self._key:
            shapes = profile.level_shapes(like.shape[1:])
            self._blurs = [Blur(shape, profile.window, profile.sigma, batch, slots=5, like=like) for shape in shapes]
            self._key = key
        return self._blurs


_LAST = _LastBlurs()


@torch.no_grad()
def ms_ssim(x: Tensor, y: Tensor, profile: Profile) -> Tensor:
    """Return the multi-scale structural similarity of each pair of volumes, without gradient.

    Wang, Simoncelli & Bovik, "Multiscale structural similarity for image quality assessment" (2003), in 3-D. The
    values are those of pytorch-msssim to 1e-5, but a term that round-off lifts above 1 counts as 1.

    Args:
        x: ``[B, X, Y, Z]`` or ``[B, 1, X, Y, Z]``, float32 or float64, intensities in [0, profile.data_range].
        y: the same shape, dtype and device.
        profile: scales, window and constants.

    Returns:
        ``[B]``, of the inputs' dtype, in [0, 1].

    Raises:
        OptionError: the tensors disagree, are of another kind, or are too small for the profile.
    """
    x, y = _as_batch(x, y, profile)
    chunk = max(1, min(len(x), CHUNK_VOXELS // x[:1].numel())) if len(x) else 1
    blurs = _LAST.blurs(profile, chunk, x)
    value = x.new_ones(len(x), dtype=torch.float64)
    for start in range(0, len(x), chunk):
        pair = x[start : start + chunk], y[start : start + chunk]
        part = value[start : start + chunk]
        for level, (blur, weight) in enumerate(zip(blurs, profile.weights, strict=True)):
            if level:
                pair = halve(pair[0]), halve(pair[1])
            part *= compare_images(blur, *pair, profile, last=level == profile.levels - 1) ** weight
    return value.to(x.dtype)


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
