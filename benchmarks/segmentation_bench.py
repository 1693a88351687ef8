"""Cost of the protected segmentation system, as ratios in one run, on the threads that torch has.

Run with ``python -m benchmarks segmentation``. Random weights: time does not depend on them. Networks of size ``tiny``
where nothing else is said.

Expected before the first measurement, on two cores of an AMD EPYC (Zen 3), per 144x192x160 volume in patches of 32:

- Segmentation: some 15,000 multiply-adds per voxel at full resolution, thin layers at a tenth of the machine's peak:
  10 to 20 s. Unmixing: about 27 * (12*12 + 24*12) + coarser = 15,000 too, but in two layers rather than ten: 1 to 2 s.
  Encoding: cutting and one lerp, below 0.2 s. Client overhead: 10 to 15 %.
- Our server on patches against MONAI's loop over the same patches: 1.0, as the network is all the work.
- K = 10 views: 10 times the server's and client's work, and one encoding: 10.0 or a little less.
- A training step: sampling and mixing of 4 patches is some milliseconds beside 0.8 s: below 1.05.

Measured: encoding and unmixing 3.9 s ('tiny'), 4.2 s ('small'), 3.9 s ('paper') beside 5.7, 15.7 and 49 s of
segmentation: 0.69, 0.27 and 0.079; unmixing is slower than expected, as thin layers cost memory, not arithmetic.
Our server 0.69 to 0.86 of MONAI's loop (a faster memory layout); ten views 9.7 to 10.3 times one; a training step 1.01.
"""

from __future__ import annotations

import math
import random
import resource
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from monai.inferers.utils import sliding_window_inference
from torch import Tensor

from benchmarks.msssim_bench import Row, in_turns, smooth_field, timed
from privaudit.contracts import plugin
from privaudit.contracts.cohort import Volume
from privaudit.contracts.defense import Defense
from privaudit.segmentation.networks import NetworkConfig, build
from privaudit.segmentation.opening import open_training
from privaudit.segmentation.options import parse_train_spec
from privaudit.segmentation.server_net import Size
from privaudit.segmentation.system import Average, make_system, views_of

CPU = torch.device("cpu")
PATCH, CLASSES = 32, 4


def run(quick: bool = False) -> list[Row]:
    """Time everything."""
    torch.manual_seed(0)
    shape = (64, 64, 64) if quick else (144, 192, 160)
    sizes: tuple[Size, ...] = ("tiny",) if quick else ("tiny", "small", "paper")
    inference = [row for size in sizes for row in inference_rows(size, shape, 1 if quick else 2)]
    return [*inference, *scaling_rows(), training_row(3 if quick else 12)]


def random_volume(shape: tuple[int, int, int]) -> Volume:
    """A smooth random image whose labels are its grey levels."""
    image = smooth_field(shape, 8).numpy()
    labels = (image * (CLASSES - 1)).round().astype("uint8")
    import numpy as np

    return Volume(image, labels, np.eye(4))


def inference_rows(size: Size, shape: tuple[int, int, int], repeats: int) -> list[Row]:
    """Client overhead, and our server against MONAI's loop."""
    defense = plugin.create("defenses", "mixup", Defense, {"views": 1, "alpha": 0.5})
    networks = build(NetworkConfig(size=size, classes=CLASSES, unmixing=True), 0).eval()
    server, client = make_system(networks, PATCH, CPU)
    target, pool = random_volume(shape), [random_volume(shape) for _ in range(2)]
    image = torch.from_numpy(target.image)
    key = defense.draw_key(shape, pool, random.Random(0))
    encoded = defense.encode(image, key, 1)
    side = defense.side_information(key, 1, CLASSES)
    assert side is not None
    returned = server.respond(encoded.views[0])

    def encode() -> object:
        return defense.encode(image, key, 1)

    def segment() -> object:
        return server.respond(encoded.views[0])

    def unmix() -> object:
        labels, alpha = defense.side_information(key, 1, CLASSES) or side
        maps = client.unmix(returned, labels[0], alpha[0]).maps["learned"]
        return defense.assemble(maps, key)

    @torch.inference_mode()
    def monai_loop() -> object:
        return sliding_window_inference(
            image[None, None], (PATCH,) * 3, 32, lambda x: networks.segmentation(x).softmax(1), 0.0
        )

    times = in_turns(repeats, encode, segment, unmix, monai_loop)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    client_s, server_s = times[0] + times[2], times[1]
    note = f"encoding {times[0]:.2f} s, unmixing {times[2]:.2f} s; peak resident size {peak:.0f} MiB"
    name = f"'{size}': client's encoding and learned unmixing of {shape}, K = 1, beside segmentation"
    loop = f"'{size}': our server on {len(encoded.positions)} patches against MONAI's loop over the same"
    return [
        Row(name, client_s, server_s, client_s / server_s, 0.15, note),
        Row(loop, server_s, times[3], server_s / times[3], 1.0, "the same network, patches and overlap (none)"),
    ]


def scaling_rows() -> list[Row]:
    """How the whole round trip grows with K and with the volume."""
    rows = []
    seconds: dict[tuple[int, int], float] = {}
    networks = build(NetworkConfig(size="tiny", classes=CLASSES, unmixing=True), 0).eval()
    for side in (64, 96):
        target, pool = random_volume((side,) * 3), [random_volume((side,) * 3) for _ in range(10)]
        for views in (1, 10):
            defense = plugin.create("defenses", "mixup", Defense, {"views": views, "alpha": 0.5})
            server, client = make_system(networks, PATCH, CPU)
            key = defense.draw_key((side,) * 3, pool, random.Random(0))

            def round_trip(
                views: int = views, defense: Defense = defense, key: object = key, target: Volume = target,
                server: object = server, client: object = client,
            ) -> Tensor:  # fmt: skip
                sent = defense.encode(torch.from_numpy(target.image), key, views).views  # type: ignore[arg-type]
                average = Average()
                for view in views_of(server, client, defense, sent, key, CLASSES):  # type: ignore[arg-type]
                    average.add(view.maps["learned"])
                return defense.assemble(average.mean(), key)  # type: ignore[arg-type]

            (seconds[side, views],) = in_turns(1, round_trip)
    for side in (64, 96):
        ten, one = seconds[side, 10], seconds[side, 1]
        rows.append(Row(f"K = 10 views of {side}³ against one", ten, one, ten / one, 10.0, "round trip"))
    growth = seconds[96, 1] / seconds[64, 1]
    note = f"{27 / 8:.2f} times the patches"
    rows.append(Row("one view of 96³ against 64³", seconds[96, 1], seconds[64, 1], growth, math.nan, note))
    return rows


def training_row(steps: int) -> Row:
    """Seconds per step of our loop against the same step written bare, on ready tensors, in turns."""
    data = {
        "dataset": {"name": "phantom", "voxel_mm": 4.0, "subjects": 8},
        "train": {
            "steps": steps,
            "validate_every": 10**6,
            "checkpoint_every": 10**6,
            "ema": 0.0,
            "validation_batches": 1,
        },
    }
    with TemporaryDirectory() as folder:
        (training,) = open_training(parse_train_spec(data, "bench"), Path(folder), device="cpu")
        bare = build(training.system.config, 0).to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        optimizer = torch.optim.Adam(bare.parameters(), lr=1e-3)
        batch = training.train_source.batch(0, 4)

        def step() -> None:
            optimizer.zero_grad()
            mixed, unmixed = bare(batch.image, batch.reference_map, batch.alpha)
            training.loss(mixed, unmixed, batch).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

        ours: list[float] = []
        theirs: list[float] = []
        last = time.perf_counter()

        def report(number: int, figures: object) -> None:
            nonlocal last
            ours.append(time.perf_counter() - last)
            theirs.append(timed(step))
            last = time.perf_counter()

        training.run(report)
    # The first steps pay for memory, the last one of ours for validation and checkpoint.
    mine, other = statistics.median(ours[1:-1]), statistics.median(theirs[1:-1])
    note = "sampling, mixing, clipping and bookkeeping included, batch 4"
    return Row("a training step against the bare one", mine, other, mine / other, 1.15, note)


def print_rows(rows: list[Row]) -> None:
    """Print each row: times, their ratio, the most it should be."""
    for row in rows:
        target = "" if math.isnan(row.target) else f" (at most {row.target:g})"
        against = "" if math.isnan(row.ratio) else f" against {row.reference_s:.3g} s, {row.ratio:.3g}x{target}"
        took = "" if math.isnan(row.ours_s) else f": {row.ours_s:.3g} s{against}"
        print(f"{row.name}{took}\n    {row.note}")


if __name__ == "__main__":
    print_rows(run(quick=True))
