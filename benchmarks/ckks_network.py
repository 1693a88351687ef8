"""A small network that runs on ciphertexts of CKKS, and the same in plaintext: for ``python -m benchmarks ckks``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privaudit.contracts.cohort import Cohort, ScanId
from privaudit.contracts.recipe import Recipe
from privaudit.errors import OptionError
from privaudit.segmentation.sampling import PatchSource

PATCH: Final = 32
HIDDEN: Final = 8
RING, PRIMES, SCALE = 8192, (50, 30, 30, 30, 50), 30


class SmallNet(torch.nn.Module):
    """Maps patches [B, 1, S + 2, S + 2, S + 2] to logits [B, C, S, S, S]."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.first = torch.nn.Conv3d(1, HIDDEN, 3)
        self.second = torch.nn.Conv3d(HIDDEN, classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Convolve, square, map."""
        logits: Tensor = self.second(self.first(image).square())
        return logits


def train(cohort: Cohort, scans: Sequence[ScanId], classes: int, steps: int, seed: int) -> SmallNet:
    """Cross-entropy on patches of some people; the same seed gives the same network."""
    source = PatchSource(cohort, scans, classes, Recipe(PATCH, alpha=None), seed, torch.device("cpu"))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = SmallNet(classes)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for step in range(steps):
        batch = source.batch(step, 8)
        truth = batch.target_map[:, :, 1:-1, 1:-1, 1:-1].argmax(dim=1)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(network(batch.image), truth).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return network.eval()


def neighbours(patch: NDArray[np.float64]) -> NDArray[np.float64]:
    """The 27 neighbours of every inner voxel: [27, S^3] of a patch [S + 2, S + 2, S + 2]."""
    windows = np.lib.stride_tricks.sliding_window_view(patch, (3, 3, 3))
    return np.ascontiguousarray(windows.reshape(-1, 27).T)


@dataclass
class Costs:
    """Seconds of one core on either side and bytes there and back, of one patch; ``keys`` are bytes that are sent once.

    Seconds are those that the process computed, so that other work on the machine does not count.
    """

    client: float = 0.0
    server: float = 0.0
    up: int = 0
    down: int = 0
    keys: int = 0


@contextmanager
def clock(costs: Costs, side: str) -> Iterator[None]:
    """Add to the seconds of 'client' or 'server'."""
    began = time.process_time()
    yield
    setattr(costs, side, getattr(costs, side) + time.process_time() - began)


def encrypted(network: SmallNet, patch: NDArray[np.float64]) -> tuple[NDArray[np.float64], Costs]:
    """Logits [C, S^3] of a patch [S + 2, S + 2, S + 2], computed on ciphertexts, and what that cost.

    Client and server exchange bytes alone; the server's context holds no secret key.

    Raises:
        OptionError: TenSEAL is not installed.
    """
    try:
        import tenseal
    except ImportError:
        raise OptionError("TenSEAL is not installed", todo="pip install 'privaudit[he]'") from None
    costs, found = Costs(), []
    first = network.first.weight.detach().double().reshape(HIDDEN, 27).tolist(), _list(network.first.bias)
    second = network.second.weight.detach().double().flatten(1).tolist(), _list(network.second.bias)
    with clock(costs, "client"):
        own = tenseal.context(tenseal.SCHEME_TYPE.CKKS, RING, coeff_mod_bit_sizes=list(PRIMES), n_threads=1)
        own.global_scale = 2**SCALE
        public = own.serialize(save_secret_key=False, save_galois_keys=False)
        vectors = neighbours(patch)
    costs.keys = len(public)
    with clock(costs, "server"):
        theirs = tenseal.context_from(public, n_threads=1)
    for start in range(0, vectors.shape[1], RING // 2):
        with clock(costs, "client"):
            sent = [tenseal.ckks_vector(own, v).serialize() for v in vectors[:, start : start + RING // 2]]
        with clock(costs, "server"):
            inputs = [tenseal.ckks_vector_from(theirs, data) for data in sent]
            hidden = [_combine(inputs, *part) for part in zip(*first, strict=True)]
            squared = [h * h for h in hidden]
            back = [_combine(squared, *part).serialize() for part in zip(*second, strict=True)]
        with clock(costs, "client"):
            found.append(np.array([tenseal.ckks_vector_from(own, data).decrypt() for data in back]))
        costs.up, costs.down = costs.up + sum(map(len, sent)), costs.down + sum(map(len, back))
    return np.concatenate(found, axis=1), costs


def _combine(inputs: Sequence[Any], weights: Sequence[float], bias: float) -> Any:
    total = inputs[0] * weights[0]
    for value, weight in zip(inputs[1:], weights[1:], strict=True):
        total += value * weight
    total += bias
    return total


def _list(values: Tensor | None) -> list[float]:
    assert values is not None
    found: list[float] = values.detach().double().tolist()
    return found


def plain(network: SmallNet, image: NDArray[np.float32]) -> Tensor:
    """Logits [C, X, Y, Z] of an image [X + 2, Y + 2, Z + 2]."""
    with torch.inference_mode():
        logits: Tensor = network(torch.from_numpy(np.ascontiguousarray(image))[None, None])[0]
    return logits
