"""Does an attack by separation work at all? Figures that need no transcript, only what the attacker holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.contracts.attack import Check, Illustration, Task
from privaudit.contracts.knowledge import Knowledge
from privaudit.imaging.patches import Shape, as_tensor, cut, grid_positions
from privaudit.msssim import ms_ssim, profile_for
from privaudit.prior.noise import edm
from privaudit.prior.samplers import Score, Tick, pigdm
from privaudit.prior.weights import Prior, score_sources

LEARNED: Final = 0.5
"""Where noise is of the size of what tells voxels apart, a prior must err at most half of one that knows no shapes."""
HARMLESS: Final = 1.05
"""At the smallest levels there is next to nothing to gain, and nobody does much better than the trivial predictor."""
PLACES: Final = 4
"""Places at which samples are drawn."""
PEOPLE: Final = 6
"""People they are compared with."""
LEVELS: Final = 10
"""Noise levels of a sample of the prior: 19 evaluations; thirty levels give the same figures."""
DRAWS: Final = 4
"""Samples at each place: with two, likeness to each other swings by 0.05 from seed to seed."""
TRIED: Final = 2
"""Patches that the sampler is tried on."""
KNOWN: Final = 0.9
"""MS-SSIM to the truth of a target whose reference is known."""
APART: Final = 0.1
"""Most that likeness among samples, or of samples to people, may differ from that among people."""
ROUGH: Final = 2.0
"""Factor by which steps between neighbouring voxels may differ: MS-SSIM alone takes noisy atlases for people."""
AGREEMENT: Final = 0.15
"""Most by which restarts may be more like each other than like the truth, or less."""
BATCH: Final = 16


class Sample(Protocol):
    """Sources [N, S, *patch] of mixtures [N, *patch] with weights [N, S]."""

    def __call__(
        self, score: Score, mixture: Tensor, weights: Tensor, generator: torch.Generator, tick: Tick
    ) -> Tensor:
        """Draw them."""


def check_prior(prior: Prior, knowledge: Knowledge, task: Task, advance: Callable[[float], None]) -> Iterator[Check]:
    """Held-out denoising against the trivial predictor, and samples against people."""
    shares = [level.error / level.trivial for level in prior.config.levels]
    name = "held-out denoising error as a share of the trivial predictor's"
    yield Check(f"{name}, best noise level", min(shares), f"at most {LEARNED:g}", min(shares) <= LEARNED)
    yield Check(f"{name}, worst noise level", max(shares), f"at most {HARMLESS:g}", max(shares) <= HARMLESS)
    places = fullest(prior, knowledge)
    drawn = [
        samples(prior, places, knowledge, task, str(n), lambda share: advance(share / DRAWS)) for n in range(DRAWS)
    ]
    people = patches_of(prior, places, knowledge, PEOPLE)
    together = prior.network.context != "nothing"
    among = likeness(list(combinations(people, 2)), together)
    to_people = likeness([(one, two) for one in drawn for two in people], together)
    to_samples = likeness(list(combinations(drawn, 2)), together)
    for name, figure in (("people", to_people), ("each other", to_samples)):
        more = figure - among
        yield Check(
            f"MS-SSIM of the prior's samples to {name}, less that among people ({among:.2f}):", more,
            f"between -{APART:g} and {APART:g}", abs(more) <= APART,
        )  # fmt: skip

    rough = roughness(torch.cat(drawn)) / roughness(torch.cat(people))
    yield Check(
        "squared step between neighbouring voxels of samples, as a share of people's", rough,
        f"between {1 / ROUGH:g} and {ROUGH:g}", 1 / ROUGH <= rough <= ROUGH,
    )  # fmt: skip


def roughness(patches: Tensor) -> float:
    """Mean squared difference between neighbouring voxels of patches [P, *patch]."""
    return float(torch.stack([patches.diff(dim=axis).square().mean() for axis in (1, 2, 3)]).mean())


def check_sampler(
    prior: Prior, knowledge: Knowledge, task: Task, sample: Sample, evaluations: int, advance: Callable[[float], None]
) -> Iterator[Check]:
    """A separation that must succeed, for the reference is known; and restarts against the truth."""
    places = fullest(prior, knowledge)[:TRIED]
    target, reference = patches_of(prior, places, knowledge, 2)
    score = score_at(prior, places, knowledge)
    profile = profile_for(target.shape[1:])

    def tick() -> None:
        advance(1 / (3 * evaluations))

    half = torch.full((len(places), 1), 0.5)
    found = sample(score, 0.5 * target, half, task.generator("known reference"), tick)[:, 0].clamp(0, 1)
    figure = float(ms_ssim(found, target, profile).mean())
    yield Check("MS-SSIM of a target whose reference is known", figure, f"at least {KNOWN:g}", figure >= KNOWN)
    weights = torch.tensor([0.65, 0.35]).expand(len(places), 2)
    mixture = 0.65 * target + 0.35 * reference
    draws = [sample(score, mixture, weights, task.generator(f"restart {n}"), tick)[:, 0].clamp(0, 1) for n in range(2)]
    truth = float(torch.stack([ms_ssim(draw, target, profile) for draw in draws]).mean())
    more = float(ms_ssim(draws[0], draws[1], profile).mean()) - truth
    yield Check(
        f"MS-SSIM of restarts to each other, less that to the truth ({truth:.2f}):", more,
        f"between -{AGREEMENT:g} and {AGREEMENT:g}", abs(more) <= AGREEMENT,
    )  # fmt: skip


def illustrate_prior(prior: Prior, knowledge: Knowledge, task: Task) -> Illustration:
    """Samples of the prior beside patches of the attacker's people at the same places."""
    places = fullest(prior, knowledge)
    drawn = samples(prior, places, knowledge, task, "0", lambda _: None)
    (person,) = patches_of(prior, places, knowledge, 1)
    return Illustration(
        "prior",
        f"Does the prior '{prior.name}' know patches? Its samples, and patches of a person of the attacker's sample"
        " at the same places (middle slices).",
        [
            [("sample of the prior", patch) for patch in drawn],
            [("a person, same place", patch) for patch in person],
        ],
    )


def fullest(prior: Prior, knowledge: Knowledge) -> NDArray[np.int64]:
    """Corners of the grid's patches with most tissue in the atlas."""
    mean = knowledge.atlas.mean
    size: Shape = (prior.config.patch_size,) * 3
    corners = grid_positions((mean.shape[0], mean.shape[1], mean.shape[2]), size, size)
    tissue = (cut(mean, corners, size) > 0.1).flatten(1).double().mean(dim=1)
    return corners[np.argsort(-tissue.numpy(), kind="stable")[:PLACES]]


def patches_of(prior: Prior, places: NDArray[np.int64], knowledge: Knowledge, count: int) -> list[Tensor]:
    """Patches [P, *patch] of the first people of the attacker's sample."""
    size: Shape = (prior.config.patch_size,) * 3
    people = range(min(count, len(knowledge.population)))
    return [cut(as_tensor(knowledge.population[number].image), places, size) for number in people]


def score_at(prior: Prior, places: NDArray[np.int64], knowledge: Knowledge) -> Score:
    """The prior's score of patches at places."""
    context = prior.context(torch.from_numpy(places), knowledge.atlas.mean)
    return lambda x, sigma: score_sources(prior.network, x, sigma, context, BATCH)


def samples(
    prior: Prior, places: NDArray[np.int64], knowledge: Knowledge, task: Task, name: str,
    advance: Callable[[float], None],
) -> Tensor:  # fmt: skip
    """Samples [P, *patch] of the prior: the probability flow with Heun's rule (EDM), nothing observed."""
    sigmas = edm(prior.config.levels[0].sigma, prior.config.levels[-1].sigma, LEVELS)
    nothing = torch.zeros(len(places), *(prior.config.patch_size,) * 3)
    found = pigdm(
        score_at(prior, places, knowledge), nothing, torch.zeros(len(places), 1), sigmas,
        task.generator(f"prior sample {name}"), spread=prior.spread, tick=lambda: advance(1 / (2 * LEVELS - 1)),
    )  # fmt: skip
    return found[:, 0].clamp(0, 1)


def likeness(pairs: Sequence[tuple[Tensor, Tensor]], together: bool) -> float:
    """Mean MS-SSIM of pairs of patches [P, *patch]: at the same places, or else any with any."""
    profile = profile_for(pairs[0][0].shape[1:])
    found = []
    for one, two in pairs:
        for turn in range(1 if together else len(one)):
            found.append(ms_ssim(one, two.roll(turn, dims=0), profile))
    return float(torch.cat(found).mean())
