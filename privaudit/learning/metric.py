"""A metric of who is who among encoded scans, learned on pairs of the attacker's own people (InfoNCE)."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, overload

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from privaudit.cohort import Volume
from privaudit.defense import Defense
from privaudit.errors import OptionError
from privaudit.learning.loop import Loop
from privaudit.learning.options import LoopOptions
from privaudit.patches import Shape, as_tensor, stitch
from privaudit.segmentation.discriminator import Backbone, SiameseNet

FINEST: Final = 48
"""Volumes with a side above this are halved: who somebody is shows in shapes larger than a voxel."""
WIDTH: Final = 8
"""Channels of the learned filters."""
FLOOR: Final = 0.02
"""Standard deviation added to every voxel's: where nobody differs from anybody, nothing is told apart."""
LOUDEST: Final = 4.0
"""Standard deviations from the mean that a voxel may count: an edge that has moved is no person."""
MOMENTS: Final = 4
"""Encodings and sessions of each person that means and spread are taken over."""
LEAST: Final = 4
"""People that a metric is learned on."""
HELD_OUT: Final = 0.25
"""Share of them who are held out, to tell whether learning helped."""
TRIED: Final = 4
"""Encodings of each held-out person."""


class MetricNet(nn.Module):
    """Maps scans to unit vectors whose dot product says how alike their owners are.

    It starts as the correlation of how scans differ from the mean one, voxel by voxel in standard deviations, and
    learns a small filter and a weight for each voxel: with a dozen people to learn from, what does not know that
    brains are aligned has too much to learn.

    Args:
        means: mean scan [1, 1, *shape] of each kind compared, for example encoded and raw.
        spread: standard deviation [1, 1, *shape] among people.
    """

    means: Tensor
    spread: Tensor

    def __init__(self, means: Tensor, spread: Tensor) -> None:
        super().__init__()
        self.register_buffer("means", means)
        self.register_buffer("spread", spread)
        self.weight = nn.Parameter(torch.zeros_like(spread))
        self.temperature = nn.Parameter(torch.tensor(10.0).log())
        self.filters = nn.Sequential(
            nn.Conv3d(2, WIDTH, 3, padding=1), nn.SiLU(), nn.Conv3d(WIDTH, WIDTH, 3, padding=1), nn.SiLU(),
            nn.Conv3d(WIDTH, 1, 3, padding=1),
        )  # fmt: skip
        for parameter in self.filters[-1].parameters():
            nn.init.zeros_(parameter)
        # Half the time of the default layout, on a CPU.
        self.filters.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def forward(self, scans: Tensor, kind: int) -> Tensor:
        """Unit vectors [B, D] of scans [B, 1, *shape] of one kind."""
        mean = self.means[kind]
        apart = ((scans - mean) / self.spread).clamp(-LOUDEST, LOUDEST)
        told = torch.cat([apart, mean.expand_as(apart)], dim=1)
        weighed = (apart + self.filters(told)) * self.weight.exp()
        return nn.functional.normalize(weighed.flatten(1), dim=1)


class BackboneMetric(MetricNet):
    """The published discriminator's network, trained on the frozen scheme: MONAI's 3-D ResNet or DenseNet-121.

    It sees how scans differ from the mean one, in standard deviations; its features are compared as those of the
    simpler metric are.
    """

    def __init__(self, means: Tensor, spread: Tensor, backbone: Backbone) -> None:
        super().__init__(means, spread)
        self.features = SiameseNet(backbone).features
        self.features.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]

    def forward(self, scans: Tensor, kind: int) -> Tensor:
        """Unit vectors [B, D] of scans [B, 1, *shape] of one kind."""
        apart = ((scans - self.means[kind]) / self.spread).clamp(-LOUDEST, LOUDEST)
        return nn.functional.normalize(self.features(apart), dim=1)


class Others(Sequence[Volume]):
    """Everybody but one."""

    def __init__(self, everybody: Sequence[Volume], left_out: int) -> None:
        self._everybody = everybody
        self._indices = [i for i in range(len(everybody)) if i != left_out]

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Volume: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Volume]: ...
    def __getitem__(self, index: int | slice) -> Volume | Sequence[Volume]:
        if isinstance(index, slice):
            return [self._everybody[i] for i in self._indices[index]]
        return self._everybody[self._indices[index]]


def encode_own(defense: Defense, image: Tensor, pool: Sequence[Volume], keys: random.Random, views: int = 1) -> Tensor:
    """What an attacker gets who encodes a scan itself with a fresh key: the mean of the views [X, Y, Z]."""
    shape: Shape = (image.shape[0], image.shape[1], image.shape[2])
    sent = defense.encode(image, defense.draw_key(shape, pool, keys), views)
    return stitch(sent.views.mean(dim=0), sent.positions, shape)


def coarse(image: Tensor) -> Tensor:
    """A scan [1, 1, *shape] at the resolution that is compared, of a volume [X, Y, Z]."""
    scan = image[None, None]
    return nn.functional.avg_pool3d(scan, 2) if max(image.shape) > FINEST else scan


@dataclass(frozen=True)
class Sampler:
    """Scans of the attacker's people as the scheme would send them, or as a second session would look raw.

    Args:
        defense: the scheme; only the keys of its users are secret, and the attacker draws keys too.
        people: the attacker's sample.
        views: of each encoded scan, averaged.
        count: encodings of each person; they are made once, as a trained encoder takes its time.
        seed: of keys and sessions.
    """

    defense: Defense
    people: Sequence[Volume]
    views: int
    count: int = 16
    seed: int = 0
    _made: dict[tuple[int, int], Tensor] = field(default_factory=dict, repr=False)

    def encoded(self, person: int, number: int) -> Tensor:
        """One of a person's encodings [1, 1, *shape]."""
        which = person, number
        if which not in self._made:
            self._made[which] = self.encode(person, np.random.default_rng([self.seed, 4, *which]))
        return self._made[which]

    def both(self, person: int, size: int, gallery: bool, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Encodings of a person [size, 1, *shape], and what they are compared with: raw scans, or other encodings.

        No encoding is on both sides: to recognise a key again is no re-identification.
        """
        order = [int(number) for number in rng.permutation(self.count)]
        size = min(size, self.count if gallery else self.count // 2)
        sent = [self.encoded(person, number) for number in order[:size]]
        if gallery:
            others = [self.raw(person, rng) for _ in sent]
        else:
            others = [self.encoded(person, number) for number in order[size : 2 * size]]
        return torch.cat(sent), torch.cat(others)

    def encode(self, person: int, rng: np.random.Generator) -> Tensor:
        """Encode a session with a fresh key; references are the attacker's other people."""
        image, keys = self.session(person, rng), random.Random(int(rng.integers(2**62)))
        return coarse(encode_own(self.defense, image, Others(self.people, person), keys, self.views))

    def raw(self, person: int, rng: np.random.Generator) -> Tensor:
        """A raw scan [1, 1, *shape] of a person."""
        return coarse(self.session(person, rng))

    def session(self, person: int, rng: np.random.Generator) -> Tensor:
        """A person's scan as another session might show it: brightness, contrast, noise, a voxel's shift."""
        image = as_tensor(self.people[person].image)
        bright = image.clamp(0, 1) ** float(rng.uniform(0.9, 1.1)) * float(rng.uniform(0.95, 1.05))
        noise = torch.from_numpy(rng.normal(0, 0.01, size=tuple(image.shape)).astype(np.float32))
        shift = tuple(int(s) for s in rng.integers(-1, 2, size=3) * (rng.random(3) < 0.25))
        return torch.roll((bright + noise * (image > 0)).clamp(0, 1), shift, dims=(0, 1, 2))


_SHARED: dict[str, Sampler] = {}


def shared_sampler(defense: Defense, people: Sequence[Volume], views: int, count: int, seed: int) -> Sampler:
    """The sampler used last, if it is of the same: protocols and repetitions learn on the same encodings.

    Encoding a dozen people often enough takes longer than learning, where a network encodes.
    """
    weights = None if defense.trained is None else defense.trained.digest
    digest = hashlib.sha256(repr((defense.name, defense.params, weights, views, count, seed)).encode())
    for volume in people:
        digest.update(volume.image.tobytes())
    key = digest.hexdigest()
    if key not in _SHARED:
        _SHARED.clear()
        _SHARED[key] = Sampler(defense, people, views, count, seed)
    return _SHARED[key]


class MetricTraining(Loop):
    """One training of a metric.

    Args:
        options: how to optimise; ``batch`` people a step.
        sampler: where scans come from.
        gallery: compare encoded scans with raw ones, not with encoded ones.
        seed: of everything drawn.
        folder: where the checkpoint goes.
        device: 'auto', 'cpu', 'cuda' or 'mps'.
        backbone: network of the metric; None for filters and weights of voxels.

    Raises:
        OptionError: too few people.
    """

    scored = "held-out people"
    networks: MetricNet

    def __init__(
        self, options: LoopOptions, sampler: Sampler, gallery: bool, seed: int, folder: Path, device: str,
        backbone: Backbone | None = None,
    ) -> None:  # fmt: skip
        count = len(sampler.people)
        if count < LEAST:
            raise OptionError(
                "too few people to learn a metric on", got=f"{count} in the attacker's sample",
                allowed=f"at least {LEAST}", todo="raise --split.population",
            )  # fmt: skip
        self._sampler, self._gallery, self._seed = sampler, gallery, seed
        order = np.random.default_rng([seed, 0]).permutation(count)
        held = max(2, round(HELD_OUT * count))
        self.held_out, self.learners = np.sort(order[:held]), np.sort(order[held:])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed % 2**63)
            means, spread = self._moments()
            networks = MetricNet(means, spread) if backbone is None else BackboneMetric(means, spread, backbone)
        identity = ["metric", options.model_dump(mode="json"), seed, gallery, backbone, sampler.count]
        super().__init__(options, networks, folder, identity, device)

    def _moments(self) -> tuple[Tensor, Tensor]:
        """Means [2, 1, 1, *shape] of encoded and raw scans; spread of raw ones, sessions included."""
        encoded: list[Tensor] = []
        raw: list[Tensor] = []
        for person in self.learners:
            rng = np.random.default_rng([self._seed, 1, int(person)])
            sent, seen = self._sampler.both(int(person), MOMENTS, True, rng)
            encoded.append(sent)
            raw.append(seen)
        means = torch.stack([torch.cat(scans).mean(dim=0, keepdim=True) for scans in (encoded, raw)])
        return means, torch.cat(raw).std(dim=0, keepdim=True) + FLOOR

    def fingerprint(self) -> str:
        """A hash of what determines the training: options, seed, where it starts, and what people look like encoded."""
        digest = hashlib.sha256(self._key.encode())
        for name, value in self.networks.state_dict().items():
            digest.update(name.encode() + value.cpu().numpy().tobytes())
        for person in self.held_out:
            digest.update(self._sampler.encoded(int(person), 0).numpy().tobytes())
        return digest.hexdigest()

    def compute_loss(self, model: nn.Module, step: int) -> Tensor:
        """InfoNCE (van den Oord et al., 2018), both ways: who of the batch is the same person."""
        rng = np.random.default_rng([self._seed, 2, step])
        people = rng.permutation(self.learners)[: self.options.batch]
        device = self.accelerator.device
        pairs = [self._sampler.both(int(person), 1, self._gallery, rng) for person in people]
        queries, others = (torch.cat(side).to(device) for side in zip(*pairs, strict=True))
        with self.accelerator.autocast():
            logits = model(queries, 0) @ model(others, int(self._gallery)).T * self.networks.temperature.exp()
            target = torch.arange(len(people), device=device)
            cross = nn.functional.cross_entropy
            return 0.5 * (cross(logits, target) + cross(logits.T, target))

    def measure(self) -> dict[str, float | None]:
        """Share of pairs in which held-out people are more like themselves than like another."""
        return {"same person": self.separation()}

    def separation(self) -> float:
        """Area under the ROC curve of same against different, of held-out people."""
        from sklearn.metrics import roc_auc_score

        device = self.accelerator.device
        queries, others, owners = [], [], []
        for person in self.held_out:
            rng = np.random.default_rng([self._seed, 3, int(person)])
            sent, found = self._sampler.both(int(person), TRIED, self._gallery, rng)
            queries.append(self.networks(sent.to(device), 0))
            others.append(self.networks(found.to(device), int(self._gallery)))
            owners += [int(person)] * len(sent)
        likeness = (torch.cat(queries) @ torch.cat(others).T).cpu().numpy()
        same = np.array(owners)[:, None] == np.array(owners)[None, :]
        return float(roc_auc_score(same.ravel(), likeness.ravel()))

    def keep(self, scores: dict[str, float | None]) -> None:
        """Nothing: the metric lives as long as the attack."""


_LAST: dict[str, tuple[dict[str, Tensor], dict[str, float]]] = {}
"""The metric learned last in this process: the planted leak is tried with the very metric of the attack."""


def learn_metric(training: MetricTraining, report: Callable[[int], None]) -> tuple[MetricNet, dict[str, float]]:
    """Train, and take the better of what was learned and what it started from, by held-out people.

    What was learned last is kept: the same training on the same people is not done twice in a row.

    Returns:
        The metric, and how well it and what it started from tell held-out people apart (area under the ROC curve).
    """
    key = training.fingerprint()
    if key in _LAST:
        state, scores = _LAST[key]
        training.networks.load_state_dict(state)
        report(training.options.steps)
        return training.networks.eval(), scores
    _LAST.clear()
    network, scores = _learn(training, report)
    _LAST[key] = {name: value.clone() for name, value in network.state_dict().items()}, scores
    return network, scores


def _learn(training: MetricTraining, report: Callable[[int], None]) -> tuple[MetricNet, dict[str, float]]:
    start = {name: value.clone() for name, value in training.networks.state_dict().items()}
    before = training.score()["same person"]
    after = training.run(lambda step, _: report(step)).scores["same person"]
    assert before is not None
    assert after is not None
    if after < before:
        training.networks.load_state_dict(start)
    return training.networks.eval(), {"before": before, "after": after}


@torch.no_grad()
def embed(network: MetricNet, scans: Sequence[Callable[[], Tensor]], kind: int) -> NDArray[np.float64]:
    """Unit vectors [N, D] of volumes [X, Y, Z], one at a time: what is asked together changes nothing."""
    device = network.weight.device
    rows: list[Any] = [network(coarse(scan()).to(device), kind)[0].double().cpu().numpy() for scan in scans]
    return np.stack(rows)
