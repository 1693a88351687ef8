"""Cost of decoding mixed label maps beside the server's forward pass on the same patches, in one run, on one thread.

Run with ``python -m benchmarks decode``. The shipped network 'phantom-mixup' ('tiny') answers for one virtual person's
scan in patches of 32³. CPU seconds are compared, so that other work on the machine does not count; wall time stands in
the notes. 'returned' are the maps of an error-free server, 'served' those of the network.

Expected before the first measurement, for 27 patches of 32,768 voxels and four labels: the forward pass takes 0.15 s a
patch. Values of an error-free server tell the shares, and the 16 pairs of labels are weighed only where a voxel is in
doubt: 0.2 of the forward pass. In soft maps every voxel is weighed, some 16 by 4 multiply-adds and 16 exponentials, and
some sixty likelihoods of 16,384 voxels are tried for the shares: 0.5 of it. With three views both grow alike.

Measured beside other work: the forward pass takes 0.09 s a patch. Of it, decoding takes 0.14 ('returned') and 0.19
('served') of one view, 0.17 and 0.29 of three; with a weight and a reference for each patch 0.24 and 0.63, as shares
are then found patch by patch.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from benchmarks.msssim_bench import Row
from privaudit.cohorts.phantom import PhantomDataset
from privaudit.contracts import plugin
from privaudit.contracts.defense import Defense
from privaudit.imaging.label_prior import LabelPrior
from privaudit.imaging.map_decoding import decode_maps
from privaudit.imaging.patches import as_tensor, one_hot
from privaudit.segmentation.system import make_system
from privaudit.segmentation.weights import load_weights

WEIGHTS, PEOPLE, POOL = "phantom-mixup", 16, 4
TRAINING: Final = {"alpha_per": "patch", "reference_per": "patch"}
CASES: Final[tuple[tuple[str, dict[str, Any], int], ...]] = (
    ("one view", {}, 1), ("three views", {}, 3), ("as training sends, one view", TRAINING, 1),
)  # fmt: skip


def run(quick: bool = False) -> list[Row]:
    """Time both kinds of maps."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rows: list[Row] = []
        for name, options, views in CASES[: 1 if quick else None]:
            rows += case_rows(name, options, views)
        return rows
    finally:
        torch.set_num_threads(threads)


def case_rows(name: str, options: dict[str, Any], views: int) -> list[Row]:
    """Decoding of so many views of one volume against the forward pass on their patches."""
    cohort = PhantomDataset.from_values(subjects=PEOPLE, sessions=1, seed=7).open()
    scans = [cohort.load(cohort.sessions_of(person)[0]) for person in cohort.subjects]
    target, pool, population = scans[0], scans[1 : 1 + POOL], scans[1 + POOL :]
    prior = LabelPrior.of(volume.labels for volume in population)
    weights = load_weights(Path(WEIGHTS))
    defense = plugin.create("defenses", "mixup", Defense, {"views": views, **options})
    server, _ = make_system(weights.networks, weights.config.patch_size, torch.device("cpu"), True)
    key = defense.draw_key(cohort.shape, pool, random.Random(0))
    encoded = defense.encode(as_tensor(target.image), key, views)
    classes = max(cohort.label_names) + 1
    sent = encoded.views.flatten(0, 1)

    def forward() -> Tensor:
        return server.respond(sent)

    maps = {
        "returned": defense.respond(one_hot(target.labels, classes), key, views),
        "served": forward().reshape(*encoded.views.shape[:2], classes, *sent.shape[1:]),
    }
    rows = []
    for kind, some in maps.items():

        def decode(some: Tensor = some) -> object:
            return decode_maps(some, encoded.positions, cohort.shape, prior, defense.scheme.mixed)

        (ours, wall), (theirs, passed) = _in_turn(decode, forward)
        each = f"{len(sent)} patches, whose forward pass takes {theirs / len(sent):.3f} s each"
        note = f"CPU seconds; by the clock {wall:.2f} s against {passed:.2f} s; {each}"
        title = f"decoding '{kind}' maps, {name}, against the forward pass of '{WEIGHTS}'"
        rows.append(Row(title, ours, theirs, ours / theirs, 1.0, note))
    return rows


def _in_turn(*calls: Callable[[], object]) -> list[tuple[float, float]]:
    """CPU and wall seconds of each call, after one unmeasured turn."""
    return [[_measured(call) for call in calls] for _ in range(2)][1]


def _measured(call: Callable[[], object]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    return time.process_time() - cpu, time.perf_counter() - wall
