"""Cost of source separation beside its network's bare forward pass, in one run.

Run with ``python -m benchmarks separation``. Random weights: time does not depend on them.

Expected before the first measurement: a step of Langevin dynamics adds a normal draw, a misfit and two sums over 16
patches of 32³ (half a million voxels, some 5 ms) to a forward pass of 0.6 s or more: 1.01 to 1.03.

Measured on two cores of an AMD EPYC, before the network had its branch for details: 'diffusion-unet' 1.02 (0.22 s,
74 patches a second), 'unetplusplus' 1.08 (1.0 s). With it, on one core beside other work: 0.95 (0.64 s, 24 patches a
second) and 0.92 (2.0 s). Nine evaluations of 'pigdm' do better than 2,000 of 'langevin' (0.742 against 0.520).
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import torch

from benchmarks.msssim_bench import Row, in_turns
from privaudit.cohorts.phantom import PhantomDataset
from privaudit.contracts.cohort import Cohort, split_subjects
from privaudit.imaging.patches import as_tensor, cut, grid_positions
from privaudit.msssim import ms_ssim, profile_for
from privaudit.prior.network import Architecture, ScoreNet, context_of
from privaudit.prior.noise import edm, geometric
from privaudit.prior.samplers import langevin, pigdm
from privaudit.prior.weights import load_prior, score_sources

SIDE, MIXTURES = 32, 8
VOLUME = (144, 192, 160)
ALPHA, CLOSE = 0.65, 0.01
EVALUATIONS = (9, 19, 49, 99, 199)


def run(quick: bool = False) -> list[Row]:
    """Time a Langevin step and a step of ΠGDM for both architectures."""
    steps = 2 if quick else 6
    architectures: tuple[Architecture, ...] = ("diffusion-unet",) if quick else ("diffusion-unet", "unetplusplus")
    rows = [row for architecture in architectures for row in sampler_rows(architecture, steps)]
    return rows if quick else [*rows, quality_row()]


def sampler_rows(architecture: Architecture, steps: int) -> list[Row]:
    """A step of each sampler against the network's forward pass on the same batch."""
    torch.manual_seed(0)
    network = ScoreNet(architecture, "tiny", context="atlas", detail=True).eval()
    mixture = torch.rand(MIXTURES, SIDE, SIDE, SIDE)
    weights = torch.full((MIXTURES, 2), 0.5)
    context = context_of("atlas", torch.zeros(MIXTURES, 3, dtype=torch.int64), SIDE, torch.rand(VOLUME))
    assert context is not None
    both = torch.rand(2 * MIXTURES, 1, SIDE, SIDE, SIDE)
    twice = context.repeat_interleave(2, dim=0)

    def score(x: torch.Tensor, sigma: float) -> torch.Tensor:
        return score_sources(network, x, sigma, context, 2 * MIXTURES)

    @torch.inference_mode()
    def bare() -> object:
        return [network(both, torch.full((2 * MIXTURES,), 0.1), twice) for _ in range(steps)]

    def step() -> object:
        generator = torch.Generator().manual_seed(0)
        return langevin(score, mixture, weights, geometric(0.1, 0.1, 1), generator, steps=steps)

    def few() -> object:
        generator = torch.Generator().manual_seed(0)
        levels = edm(1.0, 0.1, (steps + 1) // 2 + 1)
        return pigdm(score, mixture, weights, levels[: (steps + 1) // 2], generator, spread=lambda sigma: 0.01)

    forward, ours, theirs = in_turns(1, bare, step, few)
    evaluations = 2 * ((steps + 1) // 2) - 1
    forward, ours, theirs = forward / steps, ours / steps, theirs / evaluations
    patches = math.prod(-(-side // SIDE) for side in VOLUME)
    note = (
        f"batch of {2 * MIXTURES} patches of {SIDE}³; {2 * MIXTURES / forward:.1f} patches a second; both sources of a"
    )
    whole = 2 * patches / (2 * MIXTURES / forward)
    note += f" volume of {VOLUME} cost {whole:.0f} s per evaluation"
    return [
        Row(
            f"'{architecture}': a Langevin step against the bare forward pass", ours, forward, ours / forward, 1.1, note
        ),
        Row(f"'{architecture}': an evaluation of 'pigdm' against the same", theirs, forward, theirs / forward, 1.1, ""),
    ]


def quality_row() -> Row:
    """Evaluations that 'pigdm' needs to come within 0.01 MS-SSIM of what 2,000 of 'langevin' reach.

    Four mixtures of two virtual people at places full of tissue, weights known, shipped prior.
    """
    prior = load_prior(Path("phantom-prior"))
    cohort = PhantomDataset.from_values(subjects=48, sessions=2).open()
    split = split_subjects(cohort.subjects, 0)
    atlas = torch.stack([first_scan(cohort, person) for person in split.population]).mean(dim=0)
    size = (SIDE, SIDE, SIDE)
    corners = grid_positions((atlas.shape[0], atlas.shape[1], atlas.shape[2]), size, size)
    tissue = (cut(atlas, corners, size) > 0.1).flatten(1).double().mean(dim=1).numpy()
    places = corners[(-tissue).argsort(kind="stable")[:4]]
    one, two = (cut(first_scan(cohort, person), places, size) for person in split.victims[:2])
    mixture, weights = ALPHA * one + (1 - ALPHA) * two, torch.tensor([ALPHA, 1 - ALPHA]).expand(4, 2)
    context = prior.context(torch.from_numpy(places), atlas)

    def score(x: torch.Tensor, sigma: float) -> torch.Tensor:
        return score_sources(prior.network, x, sigma, context, 8)

    def quality(sources: torch.Tensor) -> float:
        pairs = ((sources[:, 0], one), (sources[:, 1], two))
        found = [ms_ssim(guess.clamp(0, 1), truth, profile_for(size)).mean() for guess, truth in pairs]
        return float(torch.stack(found).mean())

    started = time.perf_counter()
    levels = geometric(1.0, 0.01, 10)
    many = quality(langevin(score, mixture, weights, levels, torch.Generator().manual_seed(0), steps=200))
    slow = time.perf_counter() - started
    line, enough, seconds = [], math.inf, math.nan
    for evaluations in EVALUATIONS:
        started = time.perf_counter()
        few = edm(prior.config.levels[0].sigma, 0.01, (evaluations + 1) // 2)
        generator = torch.Generator().manual_seed(0)
        reached = quality(pigdm(score, mixture, weights, few, generator, spread=prior.spread))
        line.append(f"{evaluations}: {reached:.3f}")
        if reached >= many - CLOSE and math.isinf(enough):
            enough, seconds = evaluations, time.perf_counter() - started
    note = f"MS-SSIM of 'langevin' with 2,000: {many:.3f}; of 'pigdm' with {', '.join(line)}; needed: {enough:g}"
    return Row("evaluations to come within 0.01 MS-SSIM of 2,000", seconds, slow, enough / 2000, 0.1, note)


def first_scan(cohort: Cohort, person: str) -> torch.Tensor:
    """A person's first scan."""
    return as_tensor(cohort.load(cohort.sessions_of(person)[0]).image)
