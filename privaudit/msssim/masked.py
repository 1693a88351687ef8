"""MS-SSIM within a mask: at every level the similarity map is averaged over the mask alone."""

from __future__ import annotations

import torch
from torch import Tensor

from privaudit.msssim.level import Moments, halve, write_moments
from privaudit.msssim.profile import Profile


@torch.no_grad()
def masked_ms_ssim(x: Tensor, y: Tensor, mask: Tensor, profile: Profile) -> Tensor:
    """Return the multi-scale structural similarity of each pair of volumes within a mask.

    The terms of :func:`~privaudit.msssim.pairs.ms_ssim` are means over a map of local similarities. Here each is a mean
    weighted by the mask at the window's centre, which at coarser levels is the share of the mask in a voxel. What lies
    outside counts as far as windows reach, and no further: air, which is easy to copy, is no similarity. A level on
    which no window is centred within the mask is left out, and the other levels' weights are raised to the same sum.

    Args:
        x: ``[B, X, Y, Z]``, float32 or float64, intensities in [0, profile.data_range].
        y: the same shape and dtype.
        mask: ``[B, X, Y, Z]``, from 0 to 1.
        profile: scales, window and constants.

    Returns:
        ``[B]`` float64 in [0, 1]; NaN where the mask is empty.
    """
    edge = profile.window // 2
    images = [volume.to("cpu", torch.float64).contiguous() for volume in (x, y, mask)]
    value, used = torch.ones(len(x), dtype=torch.float64), torch.zeros(len(x), dtype=torch.float64)
    for level, weight in enumerate(profile.weights):
        if level:
            images = [halve(image) for image in images]
        last = level == profile.levels - 1
        for number, (one, other, inside) in enumerate(zip(*images, strict=True)):
            centre = tuple(slice(edge, side - profile.window + 1 + edge) for side in inside.shape)
            share = inside[centre]
            total = float(share.sum())
            if total > 0:
                similar = _similarity(one, other, profile, last=last)
                value[number] *= max(0.0, float((similar * share).sum()) / total) ** weight
                used[number] += weight
    return torch.where(used > 0, value ** (sum(profile.weights) / used.clamp_min(1e-12)), torch.nan)


def _similarity(x: Tensor, y: Tensor, profile: Profile, *, last: bool) -> Tensor:
    """Map [X', Y', Z'] of the contrast-structure term of two volumes, with luminance at the ``last`` level.

    The covariance follows from the variances of both and of their sum.
    """
    means, variances = [], []
    for volume in (x, y, x + y):
        moments = Moments.empty(1, (volume.shape[0], volume.shape[1], volume.shape[2]), profile.window, volume.dtype)
        write_moments(volume[None], profile, into=moments)
        means.append(moments.mean[0])
        variances.append(2 * moments.spread[0] - profile.c2 / 2)
    together = variances[2] - variances[0] - variances[1]
    similar = (together + profile.c2) / (variances[0] + variances[1] + profile.c2)
    if last:
        similar = similar * (2 * means[0] * means[1] + profile.c1) / (means[0] ** 2 + means[1] ** 2 + profile.c1)
    return similar
