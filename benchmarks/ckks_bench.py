"""What homomorphic encryption costs: a small network on ciphertexts, beside the same in plaintext and beside mixup.

Run with ``python -m benchmarks ckks``; it needs TenSEAL (``pip install 'privaudit[he]'``). CKKS is the reference for
what truly hides an image: a server computes on ciphertexts and never holds the key (Cheon, Kim, Kim and Song,
ASIACRYPT 2017). The network is what one squaring allows: a convolution of 3x3x3 voxels to 8 channels, squared, and a
linear map to the classes. It is trained in plaintext on the population of virtual people at 2 mm, and runs on a patch
of 32x32x32 voxels of a victim. The client sends the 27 neighbours of each voxel as 27 vectors, because ciphertexts of
TenSEAL cannot be shifted. Ring of 8192, primes of 190 bits in all: 128 bits of security (the bound is 218).

Expected before the first measurement, on one core of an AMD EPYC (Zen 3):

- Sent: 8 x 27 = 216 ciphertexts of 2 x 8192 numbers under four primes, less what compression saves: 90 MB. Returned: 32
  of a single prime: 4 MB. For a volume of 150 patches that is 14 GB, where mixup sends 20 MB a view: 700 times.
- Seconds: 5 ms to encrypt each, 1 to 2 s; on the server 1728 products of 2 ms, 4 s; in plaintext below 0.01 s.
- Exact to the 30 bits of the scale: logits of some tens differ by less than 1e-3, labels in less than 0.1 %.
- Dice of so small a network: .6 to .75, as it sees grey values and edges, not places; the U-Nets here reach .92.

Measured (docs/encoders.md): 73 MB sent, 4 MB returned, 1.8 s on the client, 2.4 s on the server. Two expectations were
wrong. Logits of the trained network differ by 2.3e-2 (with the random weights of the test, values below 1 differ by
1e-4), which changes hardly any label. Dice is .897: tissues of virtual people differ in grey value, so that a network
that knows no places does well.
"""

from __future__ import annotations

import argparse
import datetime
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.ckks_network import PATCH, Costs, encrypted, plain, train
from benchmarks.segmentation_bench import random_volume
from privaudit.cohorts.phantom import PhantomDataset, PhantomOptions
from privaudit.contracts import plugin
from privaudit.contracts.cohort import Cohort, Volume
from privaudit.contracts.defense import Defense
from privaudit.contracts.roles import assign_roles
from privaudit.files import write_text
from privaudit.imaging.patches import Shape, grid_positions
from privaudit.provenance import commit
from privaudit.scoring.overlap import dice
from privaudit.specs import SplitSpec

VOLUME: Final[Shape] = (144, 192, 160)
"""Of a brain at 1 mm; what a patch costs is multiplied by the patches that this takes."""
SENT: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "none": ("none", {}),
    "mixup, K = 1": ("mixup", {"views": 1}),
    "mixup, K = 10": ("mixup", {"views": 10}),
    "dp-pix": ("dp-pix", {}),
    "etc": ("etc", {}),
    "instahide": ("instahide", {}),
}


def mean_dice(labels: NDArray[np.integer], truth: NDArray[np.integer], classes: int) -> float:
    """Mean over the tissues that are there."""
    found = [dice(labels, truth, label) for label in range(1, classes)]
    return float(np.mean([value for value in found if value is not None]))


@dataclass(frozen=True)
class Measured:
    """Everything the tables show. ``volumes`` are mean Dice of whole volumes of victims, in plaintext."""

    encrypted: float
    plain: float
    difference: float
    agree: float
    costs: Costs
    plain_s: float
    volumes: list[float] = field(default_factory=list)


def measure(cohort: Cohort, steps: int, seed: int, people: int) -> Measured:
    """Train on the population and run on victims."""
    split = assign_roles(cohort.subjects, SplitSpec(), seed)
    classes = max(cohort.label_names) + 1
    scans = [cohort.sessions_of(subject)[0] for subject in split.population]
    tested = [cohort.sessions_of(subject)[0] for subject in split.victims[:people]]
    cohort.prepare([*scans, *tested])
    network = train(cohort, scans, classes, steps, seed)
    volumes = [cohort.load(scan) for scan in tested]
    padded = [np.pad(volume.image, 1) for volume in volumes]
    whole = [plain(network, image).argmax(dim=0).numpy() for image in padded]
    x, y, z = (slice((side - PATCH) // 2, (side + PATCH) // 2 + 2) for side in cohort.shape)
    patch = padded[0][x, y, z]
    truth = np.pad(volumes[0].labels, 1)[x, y, z][1:-1, 1:-1, 1:-1]
    began = time.process_time()
    logits = plain(network, patch).double().numpy()
    seconds = time.process_time() - began
    hidden, costs = encrypted(network, patch.astype(np.float64))
    here, there = logits.argmax(axis=0), hidden.argmax(axis=0).reshape(truth.shape)
    difference = float(np.abs(hidden - logits.reshape(classes, -1)).max())
    return Measured(
        mean_dice(there, truth, classes), mean_dice(here, truth, classes), difference, float((here == there).mean()),
        costs, seconds, [mean_dice(w, v.labels, classes) for w, v in zip(whole, volumes, strict=True)],
    )  # fmt: skip


def tables(found: Measured, patches: int, sent: Sequence[tuple[str, float, float]]) -> str:
    """Both tables in Markdown: the network on a patch, and what each scheme sends of a whole volume."""
    c = found.costs
    up, down, seconds = (patches * value for value in (c.up / 1e6, c.down / 1e6, c.client + c.server))
    size, raw = PATCH**3 * 4 / 1e6, "x".join(map(str, VOLUME))
    lines = [
        "| on one patch of 32x32x32 voxels | Dice | client | server | sent | returned |",
        "| --- | --- | --- | --- | --- | --- |",
        f"| CKKS, on ciphertexts | {found.encrypted:.4f} | {c.client:.1f} s | {c.server:.1f} s | {c.up / 1e6:.1f} MB "
        f"| {c.down / 1e6:.1f} MB |",
        f"| the same network in plaintext | {found.plain:.4f} | – | {found.plain_s:.4f} s | {size:.2f} MB | – |", "",
        f"Logits differ by {found.difference:.1e} at most, labels agree in {found.agree:.2%} of the voxels. Keys "
        f"are sent once: {c.keys / 1e6:.1f} MB. In plaintext the network has mean Dice {np.mean(found.volumes):.3f} on "
        f"the whole volumes of {len(found.volumes)} victims.", "",
        f"| a volume of {raw} voxels | client encodes | sent |", "| --- | --- | --- |",
        *(f"| {name} | {took:.1f} s | {megabytes:.0f} MB |" for name, took, megabytes in sent),
        f"| CKKS, extrapolated from one patch to {patches} | {patches * c.client:.0f} s, decrypting included "
        f"| {up:.0f} MB |",
        "", f"All in all, CKKS would take {seconds / 60:.0f} minutes a volume on one core, and return {down:.0f} MB.",
    ]  # fmt: skip
    return "\n".join(lines)


def sent_by(name: str, options: dict[str, Any], target: Volume, pool: Sequence[Volume]) -> tuple[float, float]:
    """Seconds to draw a key and encode a volume, and megabytes that are sent of it."""
    defense = plugin.create("defenses", name, Defense, options)
    began = time.process_time()
    key = defense.draw_key(target.image.shape, pool, random.Random(0))
    views = defense.encode(torch.from_numpy(target.image), key, defense.views).views
    return time.process_time() - began, views.numel() * views.element_size() / 1e6


def main(arguments: Sequence[str]) -> None:
    """Measure and print both tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks ckks", description="What homomorphic encryption costs.")
    parser.add_argument("--steps", type=int, default=1000, help="of training")
    parser.add_argument("--people", type=int, default=12, help="victims whose volumes are segmented in plaintext")
    parser.add_argument("--seed", type=int, default=0, help="of split, training and keys of the other schemes")
    parser.add_argument("--cache", type=Path, help="folder of generated data")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables for the documentation")
    chosen = parser.parse_args(arguments)
    cohort = PhantomDataset(PhantomOptions(subjects=48, sessions=1)).open(cache=chosen.cache)
    found = measure(cohort, chosen.steps, chosen.seed, chosen.people)
    target, pool = random_volume(VOLUME), [random_volume(VOLUME) for _ in range(3)]
    sent = [(label, *sent_by(name, options, target, pool)) for label, (name, options) in SENT.items()]
    patches = len(grid_positions(VOLUME, (PATCH,) * 3, (PATCH,) * 3))
    made = f"`python -m benchmarks ckks`, commit {(commit() or 'unknown')[:8]}, {datetime.date.today().isoformat()}"
    text = f"{made}:\n\n{tables(found, patches, sent)}\n"
    print(text)
    if chosen.markdown is not None:
        write_text(chosen.markdown, text)
