"""Cost of joint unmixing beside reading what was sent once and one least-squares product, in one run.

Run with ``python -m benchmarks joint``. Requests lie on disk as a server would have logged them. Images are random:
time does not depend on them.

Expected before the first measurement: what was sent is read twice where the images fit into 1 GB, and three times where
they do not; copies, and a sample of each view, cost as much as reading again: 2 to 3.
"""

from __future__ import annotations

import resource
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.msssim_bench import Row, in_turns
from privaudit.contracts.scheme import Mixing
from privaudit.contracts.transcript import LazyTranscripts, Transcript
from privaudit.imaging.atlas import Atlas
from privaudit.imaging.patches import Shape
from privaudit.learning.joint_requests import JointRequests

VOLUME: Shape = (144, 192, 160)
TARGETS, POOL, VIEWS, VOXELS = 24, 24, 10, 4096
MIXING = Mixing(alpha_per="volume", reference_per="volume")
POSITIONS = np.zeros((1, 3), dtype=np.int64)


def run(quick: bool = False) -> list[Row]:
    """Time joint unmixing of whole volumes."""
    torch.set_num_threads(2)
    shape: Shape = (72, 96, 80) if quick else VOLUME
    with tempfile.TemporaryDirectory() as folder:
        requests = _written(Path(folder), shape)
        mean, variance = torch.full(shape, 0.5), torch.full(shape, 0.01)
        joint = JointRequests(requests, Atlas(mean, variance), MIXING, VOXELS, 0)
        solution = joint.solve(lambda _: None).solutions[0]
        assert solution is not None
        weights = torch.from_numpy(solution.weights).float()

        def ours() -> object:
            mixed = joint.solve(lambda _: None)
            return sum(float(target[0, 0, 0]) for target, _ in joint.pictures(mixed, lambda _: None))

        def once() -> object:
            total = torch.zeros(TARGETS, *shape)
            for number, request in enumerate(requests):
                part = weights[:TARGETS, number * VIEWS : (number + 1) * VIEWS]
                total += torch.tensordot(part, request.views[:, 0], dims=1)
            return total

        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        mine, theirs = in_turns(1 if quick else 2, ours, once)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 2**20
    sent = TARGETS * VIEWS * np.prod(shape) * 4 / 2**30
    note = f"{TARGETS} targets, {VIEWS} views, {POOL} references, {shape}: {sent:.1f} GiB were sent"
    return [Row("joint unmixing against one reading and one product", mine, theirs, mine / theirs, 3.0, note)] + (
        [] if grown <= 0 else [Row("memory, GiB, beside what was sent", grown, sent, grown / sent, 1.0, "peak of both")]
    )


def _written(folder: Path, shape: Shape) -> LazyTranscripts:
    """Mixtures of random images on disk, read at each access."""
    rng = np.random.default_rng(0)
    references = [rng.normal(0.5, 0.1, shape).astype(np.float32) for _ in range(POOL)]

    def views(alpha: float) -> Iterator[np.ndarray]:
        target = rng.normal(0.5, 0.1, shape).astype(np.float32)
        for number in rng.permutation(POOL)[:VIEWS]:
            yield np.float32(alpha) * target + np.float32(1 - alpha) * references[number]

    for target in range(TARGETS):
        np.save(folder / f"{target}.npy", np.stack(list(views(float(rng.uniform(0.05, 0.95)))))[:, None])

    def read(request: str) -> Transcript:
        return Transcript(request, torch.from_numpy(np.load(folder / f"{request}.npy")), POSITIONS, shape, np.eye(4))

    return LazyTranscripts([str(target) for target in range(TARGETS)], read)
