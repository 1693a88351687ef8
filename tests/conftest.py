"""Shared fixtures: plugin packages, really installed, and small specifications that use it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from hypothesis import settings

from tests.installing import install

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared"

torch.set_num_threads(1)
# Wall-clock deadlines fail on a busy machine and say nothing about correctness.
settings.register_profile("privaudit", deadline=None)
settings.load_profile("privaudit")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """After a run of the wire's fuzzing that asked for many cases: what became of them."""
    counting = sys.modules.get("tests.wire.counting")
    if "PRIVAUDIT_FUZZ_CASES" in os.environ and counting is not None:
        for line in counting.TALLY.table():
            terminalreporter.write_line(line)


def installed(package: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Install a plugin package among the tests into a folder of its own, once for all workers, and find it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    target = shared / f"{package}-site"
    with FileLock(shared / f"{package}.lock"):
        if not target.exists():
            install(package, target)
    sys.path.insert(0, str(target))
    yield target
    sys.path.remove(str(target))


@pytest.fixture(scope="session")
def thirdparty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The example of a plugin package: one of each kind."""
    yield from installed("thirdparty", tmp_path_factory)


@pytest.fixture(scope="session")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Encoders of known strength, named ``zoo-…``."""
    yield from installed("zoo", tmp_path_factory)


@pytest.fixture(scope="session")
def blob_prior(thirdparty: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A score prior of flat blobs, trained for seconds on the population of 32 people, once for all workers."""
    from privaudit.prior.options import PriorOptions, PriorSpec
    from privaudit.prior.training import open_prior_training
    from privaudit.segmentation.options import parse_training

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = shared / "blob-prior"
    with FileLock(shared / "blob-prior.lock"):
        if not (folder / "prior.json").exists():
            train = {
                "steps": 80,
                "batch": 4,
                "learning_rate": 4e-3,
                "ema": 0.9,
                "detail": False,  # voxel-fine convolutions are most of the cost, and blobs have no details
                "validate_every": 80,
                "validation_batches": 1,
            }
            data = {"dataset": {"name": "blobs", "subjects": 32, "flat": True}, "train": train}
            open_prior_training(parse_training(PriorSpec, PriorOptions, data, "test"), folder, device="cpu").run()
    return folder


@pytest.fixture(scope="session")
def rivals(thirdparty: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of weights for the schemes that are trained, with fresh networks: what every weights folder holds."""
    from privaudit.contracts.defense import ClientKind
    from privaudit.segmentation.networks import NetworkConfig, build
    from privaudit.segmentation.weights import save_weights
    from tests.made import untrained

    kinds: dict[str, ClientKind] = {"privacy-net": "proxy", "deformation": "velocity"}
    folders = {}
    for name, kind in kinds.items():
        folder = tmp_path_factory.mktemp("rivals") / name
        network = NetworkConfig(size="tiny", classes=4, unmixing=False, client=kind)
        config = untrained(network, {"name": name})
        save_weights(folder, config, build(network, seed=0))
        folders[name] = str(folder)
    return folders


@pytest.fixture
def cli(thirdparty: Path, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run ``privaudit`` as a user would, in an empty folder, with the third-party package installed."""

    def run(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "PYTHONPATH": str(thirdparty), "OMP_NUM_THREADS": "1", "COLUMNS": "200", **environment}
        return subprocess.run(
            [sys.executable, "-m", "privaudit", *map(str, arguments)],
            capture_output=True, text=True, cwd=tmp_path, env=env, timeout=600,
        )  # fmt: skip

    return run


@pytest.fixture
def blobs(thirdparty: Path) -> Callable[..., dict[str, Any]]:
    """A specification, as data, on the third-party dataset: instant, 32³, two sessions, one planted leak."""

    def make(
        defense: dict[str, Any] | str = "mixup", attacks: Any = ("reid", "average"), **more: Any
    ) -> dict[str, Any]:
        dataset = {"name": "blobs", "subjects": 24, **more.pop("dataset", {})}
        scoring = {"resamples": 500, **more.pop("scoring", {})}
        attacked = {"defense": defense, "attacks": list(attacks), "controls": "single"}
        return {"dataset": dataset, "scoring": scoring, **attacked, **more}

    return make
