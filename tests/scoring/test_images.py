"""Image scores against independent implementations."""

import numpy as np
import pytest
import torch
from pytorch_msssim import ms_ssim as oracle

from privaudit.errors import OptionError
from privaudit.scoring.images import PSNR_CAP, brain_patches, choose_scorer, psnr


def images(shape: tuple[int, int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    a = torch.rand(shape, generator=g)
    return a, (a + 0.2 * torch.rand(shape, generator=g)).clamp(0, 1)


def test_psnr_by_hand() -> None:
    assert psnr(0.01) == pytest.approx(20.0)
    assert psnr(0.0) == PSNR_CAP


def test_volume_scores_are_the_oracles() -> None:
    a, b = images((144, 48, 48))
    scorer = choose_scorer((48, 48, 48), None, "patch32", "fast")
    brain = np.ones((48, 48, 48), dtype=bool)
    score = scorer.score(a[:48], b[:48], brain)
    assert score["psnr"] == pytest.approx(-10 * np.log10(((a - b)[:48].double() ** 2).mean().item()), abs=1e-4)
    assert score["ms_ssim"] == pytest.approx(score["ms_ssim_brain"])


def test_the_reference_implementation_can_be_asked_for() -> None:
    shape = (144, 144, 144)
    a, b = images(shape)
    fast = choose_scorer(shape, None, "volume", "fast")
    slow = choose_scorer(shape, None, "volume", "reference")
    expected = oracle(a[None, None], b[None, None], data_range=1.0, win_size=9)
    assert slow._similarity(a, b) == pytest.approx(expected.item(), abs=1e-6)
    assert fast._similarity(a, b) == pytest.approx(expected.item(), abs=1e-5)


@pytest.mark.parametrize(("shape", "patch"), [((32, 32, 32), 32), ((72, 96, 80), None)])
def test_masked_scores_ignore_what_lies_outside_the_brain(shape: tuple[int, int, int], patch: int | None) -> None:
    a, b = images(shape)
    brain = np.zeros(shape, dtype=bool)
    brain[8:24, 8:24, 8:24] = True
    outside = torch.where(torch.from_numpy(brain), b, 1 - b)
    scorer = choose_scorer(shape, patch, "auto", "fast")
    one, two = scorer.score(b, a, brain), scorer.score(outside, a, brain)
    assert one["ms_ssim_brain"] == two["ms_ssim_brain"]
    assert one["psnr_brain"] == two["psnr_brain"]
    assert one["psnr"] != two["psnr"]


def test_only_patches_with_brain_are_scored() -> None:
    brain = np.zeros((64, 64, 64), dtype=bool)
    brain[:32, :32, :32] = True
    assert brain_patches(brain, 32).tolist() == [[0, 0, 0]]


def test_scoring_follows_the_defense() -> None:
    assert choose_scorer((72, 96, 80), 32, "auto", "fast").patch == 32
    assert choose_scorer((144, 192, 160), 64, "auto", "fast").patch == 64
    assert choose_scorer((72, 96, 80), None, "auto", "fast").patch is None


def test_unknown_profiles_are_refused() -> None:
    with pytest.raises(OptionError, match="no such MS-SSIM profile; got fine; allowed: auto, "):
        choose_scorer((72, 96, 80), None, "fine", "fast")
    with pytest.raises(OptionError, match="does not fit"):
        choose_scorer((72, 96, 80), None, "volume", "fast")
