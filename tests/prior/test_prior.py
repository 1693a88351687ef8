"""Score priors: noise schedules, the network's parametrisations, training, the folder that diffusers reads."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm

from privaudit.contracts.cohort import require_unseen
from privaudit.errors import OptionError, PrivauditError
from privaudit.prior.network import ScoreNet, context_of, positions_of
from privaudit.prior.noise import edm, geometric, ncsnv2, overlap_ratio
from privaudit.prior.options import PRIOR_PRESETS, PriorOptions, PriorSpec
from privaudit.prior.pipeline import PatchPipeline
from privaudit.prior.training import PriorTraining, open_prior_training, trivial_error
from privaudit.prior.weights import find_prior, load_prior, prior_misfit, score_sources, shipped_priors
from privaudit.segmentation.options import parse_training

pytestmark = pytest.mark.usefixtures("thirdparty")


def opened(folder: Path, sessions: int = 2, **train: Any) -> PriorTraining:
    options = {"steps": 4, "batch": 2, "validate_every": 2, "checkpoint_every": 2, "validation_batches": 1, **train}
    data = {"dataset": {"name": "blobs", "subjects": 16, "sessions": sessions}, "train": options}
    spec = parse_training(PriorSpec, PriorOptions, data, "test")
    return open_prior_training(spec, folder, device="cpu", command="privaudit train --prior")


def test_the_published_levels() -> None:
    levels = geometric(1.0, 0.01, 10)
    assert len(levels) == 10
    np.testing.assert_allclose(np.diff(np.log(levels)), math.log(0.01) / 9)


@pytest.mark.parametrize(("side", "count"), [(32, 391), (64, 1110)])
def test_levels_overlap_as_ncsnv2_asks(side: int, count: int) -> None:
    """The counts are those of an independent trial (1 to 0.01, C = 0.5)."""
    gamma = overlap_ratio(side**3)
    root = math.sqrt(2 * side**3)
    covered = norm.cdf(root * (gamma - 1) + 3 * gamma) - norm.cdf(root * (gamma - 1) - 3 * gamma)
    assert covered == pytest.approx(0.5, abs=1e-6)
    assert len(ncsnv2(1.0, 0.01, side**3)) == pytest.approx(count, abs=2)


def test_edm_levels_end_where_they_should() -> None:
    levels = edm(20.0, 0.01, 9)
    assert levels[0] == pytest.approx(20)
    assert levels[-1] == pytest.approx(0.01)
    assert levels == sorted(levels, reverse=True)


@pytest.mark.parametrize("architecture", ["unetplusplus", "diffusion-unet"])
@pytest.mark.parametrize("kind", ["nothing", "positions", "atlas"])
@pytest.mark.parametrize("detail", [False, True])
def test_scores_have_the_shape_of_patches(architecture: Any, kind: Any, detail: bool) -> None:
    network = ScoreNet(architecture, context=kind, detail=detail).eval()
    where = context_of(kind, torch.tensor([[0, 4, 8], [1, 2, 3]]), 32, torch.rand(40, 48, 44))
    with torch.no_grad():
        scores = network(torch.rand(2, 1, 32, 32, 32), torch.tensor([0.01, 5.0]), where)
    assert scores.shape == (2, 1, 32, 32, 32)
    assert bool(torch.isfinite(scores).all())


def test_at_large_noise_the_preconditioned_network_says_what_noise_alone_would() -> None:
    """EDM's skip connection: far above the data's own spread the score is that of the noise, whatever was learned."""
    network = ScoreNet("diffusion-unet", data_sd=0.3).eval()
    noise = 50 * torch.randn(1, 1, 32, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        scores = network(noise, torch.tensor([50.0]))
    torch.testing.assert_close(scores, -noise / (50.0**2 + 0.3**2), atol=5e-3, rtol=0.02)


def test_before_training_a_network_told_the_atlas_is_the_linear_estimate_around_it() -> None:
    network = ScoreNet("diffusion-unet", data_sd=0.1, context="atlas").eval()
    atlas, x = torch.rand(32, 32, 32), torch.rand(1, 1, 32, 32, 32)
    context = context_of("atlas", torch.zeros(1, 3, dtype=torch.int64), 32, atlas)
    with torch.no_grad():
        scores = network(x, torch.tensor([0.2]), context)
    torch.testing.assert_close(scores, -(x - atlas) / (0.2**2 + 0.1**2), atol=1e-4, rtol=1e-4)


def test_the_atlas_told_in_training_is_without_the_patchs_own_person_and_mirrored_with_it(tmp_path: Path) -> None:
    training = opened(tmp_path, sessions=1, batch=16)
    batch = training._source.batch(0, 16)
    assert 0 < int(batch.mirrored.sum()) < 16
    context = training._context(batch, seen=True)
    assert context is not None
    scans = [training.cohort.load(training.cohort.sessions_of(p)[0]).image for p in training.fold.train]
    for corner, mirrored, image, told in zip(batch.corners, batch.mirrored, batch.image, context, strict=True):
        x, y, z = corner.tolist()
        flipped = [scan[::-1] if mirrored else scan for scan in scans]
        pieces = [torch.from_numpy(scan[x : x + 32, y : y + 32, z : z + 32].copy()) for scan in flipped]
        own = min(range(len(pieces)), key=lambda n: float((pieces[n] - image[0]).abs().max()))
        torch.testing.assert_close(pieces[own], image[0], atol=1e-3, rtol=0)  # scans are held in half precision
        others = torch.stack([piece for n, piece in enumerate(pieces) if n != own]).mean(dim=0)
        torch.testing.assert_close(told[3], others, atol=1e-3, rtol=0)


def test_ncsnv2_levels_follow_from_the_data_and_the_dimension(tmp_path: Path) -> None:
    training = opened(tmp_path, noise="ncsnv2")
    image = training._source.batch(0, 8).image.flatten(1)
    assert training._drawn[0] >= 0.8 * float(torch.cdist(image, image).max())
    assert training._drawn[0] == training._levels[0]
    ratios = np.divide(training._drawn[:-1], training._drawn[1:])
    assert float(ratios.max()) < 1.02, "as dense as 32 cubed asks for"
    assert math.isfinite(float(training.compute_loss(training.networks, 1).detach()))


def test_old_weights_without_the_branch_for_details_start_a_training_with_it(tmp_path: Path) -> None:
    plain = opened(tmp_path / "plain", detail=False).run().folder
    more = opened(tmp_path / "more", pretrained=str(plain))
    x, level = torch.rand(1, 1, 32, 32, 32), torch.tensor([0.1])
    old = load_prior(plain).network
    context = more._context(more._source.batch(0, 1), seen=False)
    with torch.no_grad():
        torch.testing.assert_close(more.networks.eval()(x, level, context), old.eval()(x, level, context))
    detailed = more.run().folder
    with pytest.raises(OptionError, match="another network"):
        opened(tmp_path / "less", detail=False, pretrained=str(detailed))


def test_positions_run_from_minus_one_to_one_over_the_volume() -> None:
    where = positions_of(torch.tensor([[0, 0, 0], [8, 16, 12]]), 32, (40, 48, 44))
    assert where.shape == (2, 3, 32, 32, 32)
    assert where[0, :, 0, 0, 0].tolist() == [-1, -1, -1]
    assert where[1, :, -1, -1, -1].tolist() == [1, 1, 1]
    assert bool((where[0, 0].diff(dim=0) > 0).all())


def test_the_trivial_error_is_what_a_gaussian_predictor_errs() -> None:
    rng = np.random.default_rng(0)
    clean, noise, sigma, sd = rng.normal(0.4, 0.3, 200_000), rng.normal(size=200_000), 0.2, 0.3
    score = -(clean + sigma * noise - 0.4) / (sd**2 + sigma**2)
    assert np.mean((sigma * score + noise) ** 2) == pytest.approx(trivial_error(sigma, sd), rel=0.01)


@pytest.mark.slow
def test_a_killed_training_ends_like_an_unbroken_one(tmp_path: Path) -> None:
    whole = opened(tmp_path / "whole").run()

    class Stop(Exception):
        pass

    def kill(step: int, figures: dict[str, float | None]) -> None:
        if step == 3:
            raise Stop

    with pytest.raises(Stop):
        opened(tmp_path / "killed").run(kill)
    resumed = opened(tmp_path / "killed").run()
    assert resumed.history == whole.history
    first, second = load_prior(tmp_path / "whole"), load_prior(tmp_path / "killed")
    assert first.digest == second.digest


@pytest.mark.slow
def test_it_learns_more_than_the_voxels_mean_and_variance(tmp_path: Path) -> None:
    training = opened(tmp_path, detail=False, steps=60, batch=4, learning_rate=4e-3, ema=0.8, validate_every=60)
    before = training.score()
    training.run()
    prior = load_prior(tmp_path)
    shares = [level.error / level.trivial for level in prior.config.levels]
    assert all(value is not None for value in before.values())
    assert shares[5] < 0.7, "in the middle of the schedule"
    assert shares[5] < (before[f"sigma {prior.config.levels[5].sigma:.3g}"] or 0)


@pytest.mark.slow
def test_the_folder_is_a_diffusers_pipeline_and_says_what_made_it(tmp_path: Path) -> None:
    training = opened(tmp_path / "w", steps=2)
    training.run()
    prior = load_prior(tmp_path / "w")
    assert not list((tmp_path / "w").rglob("*.bin")), "safetensors only"
    pipeline = PatchPipeline.from_pretrained(tmp_path / "w", low_cpu_mem_usage=False)
    pipeline.scheduler.steps = 1
    context = prior.context(torch.tensor([[0, 0, 0]]), torch.rand(training.cohort.shape))
    draws = [pipeline((32, 32, 32), torch.Generator().manual_seed(seed), context=context).patches for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])
    x = torch.rand(3, 2, 32, 32, 32)
    places = prior.context(torch.zeros(3, 3, dtype=torch.int64), torch.rand(training.cohort.shape))
    together, apart = (score_sources(prior.network, x, 0.1, places, batch) for batch in (6, 2))
    torch.testing.assert_close(together, apart, atol=1e-4, rtol=1e-4)
    card = (tmp_path / "w" / "README.md").read_text()
    assert "privaudit train --prior" in card
    said = card + (tmp_path / "w" / "prior.json").read_text()
    assert not any(f'"{person}"' in said or f"`{person}`" in said for person in training.cohort.subjects)
    spreads = [prior.spread(sigma) for sigma in (0.01, 0.1, 1.0)]
    assert spreads == sorted(spreads)
    again = opened(tmp_path / "again", steps=1, pretrained=str(tmp_path / "w"))
    again.run()
    assert "starting from `w`" in (tmp_path / "again" / "README.md").read_text()
    with pytest.raises(OptionError, match="people under test"):
        require_unseen("it was", prior.config.people, training.cohort, training.fold.train)
    assert prior_misfit(prior.config, 9.0, 32) is not None
    assert find_prior("virtual", 9.0, 32) is None, "none is shipped for blobs"


def test_only_the_attackers_sample_is_trained_on(tmp_path: Path) -> None:
    training = opened(tmp_path)
    people = {*training.fold.train, *training.fold.validation}
    assert len(people) == 4, "a quarter of 16"
    assert not set(training.fold.train) & set(training.fold.validation)


def test_what_is_no_prior_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="no trained prior"):
        load_prior(tmp_path)
    (tmp_path / "prior.json").write_text("{}")
    with pytest.raises(PrivauditError, match="cannot be read"):
        load_prior(tmp_path)
    with pytest.raises(OptionError, match="sigma_min"):
        opened(tmp_path, sigma_min=2.0, sigma_max=1.0)


def test_presets_are_usable() -> None:
    for preset in PRIOR_PRESETS.values():
        parse_training(PriorSpec, PriorOptions, {"train": preset}, "preset")


@pytest.mark.parametrize("folder", shipped_priors(), ids=lambda folder: folder.name)
def test_shipped_priors_are_small_learned_something_and_say_what_made_them(folder: Path) -> None:
    prior = load_prior(Path(folder.name))
    assert sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) < 8e6
    assert not list(folder.rglob("checkpoint*"))
    shares = [level.error / level.trivial for level in prior.config.levels]
    assert max(shares) < 1
    assert min(shares) < 0.5
    card = (folder / "README.md").read_text()
    assert f"--out {folder.name}`" in card
    assert f"{prior.config.dataset['people']} people" in card


def test_the_embedded_cohort_finds_its_prior() -> None:
    found = find_prior("virtual", 2.0, 32)
    assert found is not None
    assert found.name == "phantom-prior"
    assert find_prior("virtual", 2.0, 64) is None
    assert find_prior("real", 2.0, 32) is None
