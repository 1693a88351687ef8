"""What each scheme costs its client, per volume, beside the server's segmentation of it, in one run.

Run with ``python -m benchmarks rivals``. Shipped weights; time does not depend on them. Segmentation networks of size
``tiny``, the smallest server and so the largest share.

Expected before the first measurement, on two cores of an AMD EPYC (Zen 3), per 144x192x160 volume (4.4 million voxels):

- Segmentation of a whole volume in overlapping windows: 5.7 s without overlap, some 10 s with a quarter of it.
- ``none``: nothing. ``mixup`` (one view, learned unmixing): 3.9 s, as ``python -m benchmarks segmentation`` measured.
- ``privacy-net``: some 8,000 multiply-adds per voxel in thin layers, 2 to 4 s to encode, nothing to decode: 0.3.
- ``deformation``: seven squarings of a field of half the resolution there and back, a warp of one channel and one of
  four: 1 to 1.5 s: 0.1.

Measured: none 0, mixup .53 (2.8 s of 5.3), privacy-net .33 (3.6 s of 10.9), deformation .20 (2.3 s of 11.6).
"""

from __future__ import annotations

import random
from typing import Any

import torch

from benchmarks.msssim_bench import Row, in_turns
from benchmarks.segmentation_bench import CLASSES, CPU, PATCH, random_volume
from privaudit.contracts import plugin
from privaudit.contracts.defense import Defense
from privaudit.segmentation.networks import NetworkConfig, build
from privaudit.segmentation.system import make_system

SCHEMES: dict[str, dict[str, Any]] = {
    "none": {},
    "mixup": {"views": 1, "alpha": 0.5},
    "privacy-net": {"weights": "phantom-privacy-net"},
    "deformation": {"weights": "phantom-deformation", "strength": 8.0},
}


def run(quick: bool = False) -> list[Row]:
    """Time the client of every scheme."""
    torch.manual_seed(0)
    shape = (64, 64, 64) if quick else (144, 192, 160)
    return [client_row(name, shape, 1 if quick else 2) for name in SCHEMES]


def client_row(name: str, shape: tuple[int, int, int], repeats: int) -> Row:
    """Encoding and decoding of one volume against its segmentation."""
    defense = plugin.create("defenses", name, Defense, SCHEMES[name])
    networks = build(NetworkConfig(size="tiny", classes=CLASSES, unmixing=defense.needs_pool), 0).eval()
    server, client = make_system(networks, PATCH, CPU)
    target, pool = random_volume(shape), [random_volume(shape) for _ in range(2)]
    image = torch.from_numpy(target.image)
    key = defense.draw_key(shape, pool, random.Random(0))
    sent = defense.encode(image, key, 1).views[0]
    returned = server.respond(sent)

    def encode() -> object:
        fresh = defense.draw_key(shape, pool, random.Random(1))
        return defense.encode(image, fresh, 1)

    def segment() -> object:
        return server.respond(sent)

    def decode() -> object:
        side = defense.side_information(key, 1, CLASSES)
        if side is None:
            return defense.decode(returned[None], key)
        return defense.assemble(client.unmix(returned, side[0][0], side[1][0]).maps["learned"], key)

    encoding, segmentation, decoding = in_turns(repeats, encode, segment, decode)
    ours = encoding + decoding
    note = f"drawing a key and encoding {encoding:.2f} s, decoding {decoding:.2f} s"
    return Row(
        f"client of '{name}' for {shape} beside 'tiny' segmentation", ours, segmentation, ours / segmentation,
        float("nan"), note,
    )  # fmt: skip
