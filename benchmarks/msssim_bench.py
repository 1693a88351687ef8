"""Speed and memory of privaudit.msssim against pytorch-msssim, both sides timed in one run, in turns, on two threads.

Run with ``python benchmarks/msssim_bench.py`` (``--quick`` for a smaller one).

Expected before measuring, on two cores of an AMD EPYC (Zen 3), of kernels compiled to stream through each volume once:

- A further pair of 96x128x112 reads 33 MB of cached moments and does some 20 to 30 multiply-adds per voxel: 2 to 4 ms.
  The reference was seen at 110 to 170 ms with window 5 and at 110 to 500 ms with window 7, the widest that it accepts
  there: 30 to 50x and 30 to 150x. (Smoothing by banded matrix products, tried before, took 9 to 14 ms.)
- A further pair of 144x192x160 has 3.2 times the voxels: 10 to 15 ms against 1.3 to 3.6 s, 100x or more.
- A first pair computes four more moments, and pools both images: four to six times a further pair.
- Retrieval over 200 scans of 72x96x80: 3 to 5 s, most of it the moments of every scan. The reference, at 40 to 100 ms
  per pair (window 5, the widest it accepts here), would take 800 to 2000 s: at least 200x.

Measured: 6 ms (23x; 14 to 31x in other runs) and 7 ms (47x); 19 ms (86x); four to six times; 6.9 s (294x). Window 5
straddles 30x on this machine: the moments of two images do not fit its cache beside the reference's buffers, and come
from memory.

The reference's time for the retrieval is extrapolated from a sample of its pairs, times the number of unordered pairs:
it is not run in full. A plain loop over ordered pairs would take twice that.
"""

from __future__ import annotations

import math
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from privaudit.cohorts.phantom import PhantomDataset
from privaudit.msssim import (
    PROFILES,
    MsssimSimilarity,
    Profile,
    memory_plan,
    ms_ssim,
    reference_ms_ssim,
)
from privaudit.msssim.cache import DEFAULT_MEMORY, PyramidCache
from privaudit.msssim.level import compare_moments
from privaudit.scoring.similarity.ranks import f1_by_person, rank_queries

COHORT, COHORT_SHAPE = 773, (144, 192, 160)
SMALL = Profile("bench-72", levels=4, window=5)
"""What both sides can run at 72x96x80: the reference accepts no larger window there."""


class Row(NamedTuple):
    """One line of the table; times in seconds, NaN where there is nothing to time or no target."""

    name: str
    ours_s: float
    reference_s: float
    ratio: float
    target: float
    note: str


def run(
    quick: bool = False, volumes: Sequence[Tensor] | None = None, subjects: Sequence[int] | None = None
) -> list[Row]:
    """Time everything; ``volumes`` with their ``subjects`` replace the generated scans in the retrieval."""
    torch.set_num_threads(2)
    torch.manual_seed(0)
    if volumes is None or subjects is None:
        volumes, subjects = make_scans(12 if quick else 100)
    rows = retrieval_rows(volumes, np.asarray(subjects), sample=3 if quick else 15)
    repeats = 3 if quick else 7
    rows += pair_rows((96, 128, 112), Profile("5 levels, window 5", 5, 5), repeats, target=30)
    rows += pair_rows((96, 128, 112), Profile("4 levels, window 7", 4, 7), repeats, target=30)
    rows += pair_rows((144, 192, 160), PROFILES["volume"], repeats, target=30)
    rows.append(patch_row(64 if quick else 512))
    plan = memory_plan(COHORT, COHORT_SHAPE, PROFILES["volume"])
    parts = ", ".join(f"{name} {size / 2**20:.0f}" for name, size in plan.items())
    note = f"calculated, MiB: {parts}; budget {DEFAULT_MEMORY / 2**20:.0f}"
    return [*rows, Row(f"memory of {COHORT} volumes {COHORT_SHAPE}", math.nan, math.nan, math.nan, math.nan, note)]


def pair_rows(shape: tuple[int, int, int], profile: Profile, repeats: int, target: float) -> list[Row]:
    """One pair from nothing, and one whose images' moments are cached, both against the reference."""
    x = smooth_field(shape, 8)[None]
    y = (x + 0.05 * torch.randn_like(x)).clamp_(0, 1)
    cache = PyramidCache([x[0], y[0]].__getitem__, 2, shape, profile, 4 * DEFAULT_MEMORY)

    def further() -> float:
        value = 1.0
        for level, weight in enumerate(profile.weights):
            one, many = cache.one(level, 0), cache.many(level, range(1, 2))
            last = level == profile.levels - 1
            value *= float(compare_moments(one, many, profile, last=last)) ** weight
        return value

    reference = float(reference_ms_ssim(x, y, profile))
    worst = max(abs(further() - reference), abs(float(ms_ssim(x, y, profile)) - reference))
    ours_further, ours_first, theirs = in_turns(
        repeats, further, lambda: ms_ssim(x, y, profile), lambda: reference_ms_ssim(x, y, profile)
    )
    name, note = f"pair {shape}, {profile.name}", f"largest difference {worst:.1e}"
    return [
        Row(f"{name}: each further pair", ours_further, theirs, theirs / ours_further, target, note),
        Row(f"{name}: first pair", ours_first, theirs, theirs / ours_first, math.nan, "moments computed too"),
    ]


def retrieval_rows(volumes: Sequence[Tensor], subjects: np.ndarray, sample: int) -> list[Row]:
    """A full exact retrieval as the audit scores it, against the extrapolated reference; and the memory that took."""
    n, shape = len(volumes), tuple(volumes[0].shape)
    people = [f"P{number}" for number in subjects]
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    sim = MsssimSimilarity(volumes, profile=SMALL)
    rows = rank_queries(sim, people, people, np.random.default_rng(0))
    ours = time.perf_counter() - start
    rank1 = statistics.fmean(row.rank1 for row in rows)
    ap = statistics.fmean(row.average_precision for row in rows)
    f1 = statistics.fmean(f1_by_person(rows).values())
    tpr = statistics.fmean(row.tpr_at_fpr01 for row in rows)
    grown = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)

    pairs = np.random.default_rng(0).integers(0, n, (sample + 1, 2)).tolist()
    times = []
    for a, b in pairs:
        x, y = volumes[a][None], volumes[b][None]
        times.append(timed(partial(reference_ms_ssim, x, y, SMALL)))
    per_pair = statistics.median(times[1:])
    theirs = per_pair * sim.pairs
    plan = memory_plan(n, (shape[0], shape[1], shape[2]), SMALL)
    figures = f"rank-1 {rank1:.3f}, macro F1 {f1:.3f}, mAP {ap:.3f}, TPR at 1 % FPR {tpr:.3f}"
    sampled = f"reference extrapolated from {sample} of its pairs at {per_pair * 1e3:.0f} ms"
    note = f"{figures}; pairs computed per level, finest first, {sim.computed} of {sim.pairs}; {sampled}"
    memory = (
        f"MiB: calculated {plan['total'] / 2**20:.0f}, held {sim.nbytes / 2**20:.0f}, "
        f"peak resident size grew by {grown / 2**20:.0f}, budget {DEFAULT_MEMORY / 2**20:.0f}"
    )
    return [
        Row(f"retrieval of {n} scans {shape}, all metrics", ours, theirs, theirs / ours, 100, note),
        Row(f"memory of {n} volumes {shape}", math.nan, math.nan, math.nan, math.nan, memory),
    ]


def patch_row(count: int) -> Row:
    """Throughput over patches, where the reference cannot run."""
    x, y = torch.rand(count, 32, 32, 32), torch.rand(count, 32, 32, 32)
    (ours,) = in_turns(3, lambda: ms_ssim(x, y, PROFILES["patch32"]))
    note = f"{count / ours:.0f} pairs per second; the reference refuses 32x32x32"
    return Row(f"{count} pairs of 32x32x32 patches", ours, math.nan, math.nan, math.nan, note)


def make_scans(subjects: int, shape: tuple[int, int, int] = (72, 96, 80)) -> tuple[list[Tensor], list[int]]:
    """Two noisy sessions of each subject: a common smooth anatomy plus the subject's own, inside an ellipsoid."""
    axes = [torch.linspace(-1.1, 1.1, side) for side in shape]
    x, y, z = torch.meshgrid(*axes, indexing="ij")
    brain = (x.square() + y.square() + z.square() < 1).float()
    common = smooth_field(shape, 6)
    scans: list[Tensor] = []
    for _ in range(subjects):
        anatomy = 0.1 + 0.4 * common + 0.5 * smooth_field(shape, 4)
        scans += [(anatomy + 0.02 * torch.randn(shape)).clamp_(0, 1) * brain for _ in range(2)]
    return scans, [number // 2 for number in range(2 * subjects)]


def smooth_field(shape: tuple[int, int, int], scale: int) -> Tensor:
    """A random field in [0, 1] that varies over some ``scale`` voxels."""
    coarse = torch.rand(1, 1, *(side // scale for side in shape))
    return torch.nn.functional.interpolate(coarse, size=shape, mode="trilinear", align_corners=True)[0, 0]


def in_turns(repeats: int, *calls: Callable[[], object]) -> list[float]:
    """Median seconds of each call, made in turns after one unmeasured turn."""
    turns = [[timed(call) for call in calls] for _ in range(repeats + 1)][1:]
    return [statistics.median(times) for times in zip(*turns, strict=True)]


def timed(call: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def phantom_scans(people: int) -> tuple[list[Tensor], list[int]]:
    """The project's own cohort, two sessions of each person, in memory as the reference would need it."""
    cohort = PhantomDataset.from_values(subjects=people, sessions=2).open()
    cohort.prepare(cohort.scans, jobs=2, quiet=False)
    scans = [torch.from_numpy(cohort.load(scan).image) for scan in cohort.scans]
    return scans, [number // 2 for number in range(len(scans))]


def print_rows(rows: Sequence[Row]) -> None:
    """Print one row in two lines: times and ratio, then what it rests on."""
    for row in rows:
        target = "" if math.isnan(row.target) else f" (target {row.target:g}x)"
        times = "" if math.isnan(row.ours_s) else f"ours {row.ours_s:.4g} s"
        if not math.isnan(row.reference_s):
            times += f", reference {row.reference_s:.4g} s, {row.ratio:.1f}x{target}"
        print(f"{row.name}: {times}\n    {row.note}", flush=True)


if __name__ == "__main__":
    print_rows(run(quick=True))
