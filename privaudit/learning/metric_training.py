"""Learning a metric of who is who among encoded scans, on pairs of the attacker's own people (InfoNCE)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn

from privaudit.errors import OptionError
from privaudit.learning.discriminator import Backbone
from privaudit.learning.loop import Loop
from privaudit.learning.metric import BackboneMetric, MetricNet
from privaudit.learning.options import LoopOptions
from privaudit.learning.own_people import Sampler, hold_out

FLOOR: Final = 0.02
"""Standard deviation added to every voxel's: where nobody differs from anybody, nothing is told apart."""
MOMENTS: Final = 4
"""Encodings and sessions of each person that means and spread are taken over."""
LEAST: Final = 4
"""People that a metric is learned on."""
TRIED: Final = 4
"""Encodings of each held-out person."""


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
        self.held_out, self.learners = hold_out(count, 2, seed)
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
"""The metric learned last in this process: protocols that repeat a training need not learn it again."""


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
