"""What the server's memory layout costs, and how far its maps are from those in double precision.

Run with ``python -m benchmarks layout``: the shipped network for virtual brains, one forward pass of eight patches of
32³ on one thread. Seconds of a processor, not of a clock: a machine that others use says nearly the same.

Expected: convolutions take a fifth less time in 'channels last'. The maps that were 5e-5 off there are so because
torch's group norm adds up values and squares in one pass in that layout, and in two in the other; so fast convolutions
with a contiguous norm should be as near as the contiguous layout, for the price of copies.
"""

from __future__ import annotations

import copy
import time
from math import nan
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.msssim_bench import Row
from privaudit.segmentation.server import CPU_BATCH
from privaudit.segmentation.server_net import ExactGroupNorm
from privaudit.segmentation.weights import load_weights


def probes(count: int, side: int) -> Tensor:
    """Smooth random patches [N, 1, side, side, side] in [0, 1]."""
    noise = torch.rand((count, 1, side, side, side), generator=torch.Generator().manual_seed(0))
    smooth = nn.functional.avg_pool3d(noise, 5, stride=1, padding=2, count_include_pad=False)
    return (smooth - smooth.min()) / (smooth.max() - smooth.min())


def layouts(network: Any) -> dict[str, nn.Module]:
    """The network in three layouts: what the server has is the last."""
    fast = copy.deepcopy(network).to(memory_format=torch.channels_last_3d)
    rough = copy.deepcopy(fast)
    for module in rough.modules():
        if isinstance(module, ExactGroupNorm):
            module.__class__ = nn.GroupNorm  # type: ignore[assignment] # torch's own: what was served before
    return {
        "contiguous": copy.deepcopy(network),
        "channels last, torch's group norm": rough,
        "channels last, exact group norm (served)": fast,
    }


def run(quick: bool = False) -> list[Row]:
    """Time and compare."""
    network = load_weights(Path("phantom-mixup")).networks.segmentation.eval()
    patches, threads = probes(CPU_BATCH, 32), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            exact = copy.deepcopy(network).double()(patches.double()).softmax(dim=1)
            made = layouts(network)
            off = {name: float((one(patches).softmax(dim=1) - exact).abs().max()) for name, one in made.items()}
            seconds = dict.fromkeys(made, nan)
            for _ in range(2 if quick else 8):
                for name, one in made.items():  # in turns
                    started = time.process_time()
                    one(patches)
                    spent = time.process_time() - started
                    seconds[name] = spent if seconds[name] != seconds[name] else min(seconds[name], spent)
    finally:
        torch.set_num_threads(threads)
    base = seconds["contiguous"]
    return [
        Row(name, seconds[name], base, seconds[name] / base, nan, f"maps off by {off[name]:.1e} from double precision")
        for name in made
    ]
