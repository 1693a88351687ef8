"""Two replicas under Ray Serve give what one process gives, to the last bit."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from privaudit.serving.replicas import Arguments

WEIGHTS = Path(__file__).parents[2] / "privaudit" / "segmentation" / "shipped" / "phantom-mixup"
SCRIPT = """
import json, socket, sys, threading
import ray, torch
from pathlib import Path
from ray import serve
from privaudit.client.connection import Address, Connection
from privaudit.client.remote import RemoteServer
from privaudit.segmentation.server import Server
from privaudit.segmentation.weights import load_weights
from privaudit.serving.replicas import Arguments, app

torch.set_num_threads(1)
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
serve.start(http_options={"host": "127.0.0.1", "port": port})
serve.run(app(Arguments(weights=sys.argv[1], replicas=2, threads=1, device="cpu")))
replicas = serve.status().applications["default"].deployments["segmentation"].replica_states
patches = torch.rand((12, 32, 32, 32), generator=torch.Generator().manual_seed(0))
truth = Server(load_weights(Path(sys.argv[1])).networks.segmentation, 32, torch.device("cpu"), steady=True)
truth = truth.respond(patches)
equal, counted = [], set()

def ask():
    with Connection(Address(f"http://127.0.0.1:{port}")) as connection:
        remote = RemoteServer(connection, 32, 4)
        remote.check()
        equal.append(torch.equal(remote.respond(patches), truth))

threads = [threading.Thread(target=ask) for _ in range(4)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
with Connection(Address(f"http://127.0.0.1:{port}")) as connection:
    for _ in range(40):  # each replica counts by itself
        lines = connection.get("/metrics").text.splitlines()
        counted.add(next(line.split()[1] for line in lines if line.startswith("privaudit_patches_total")))
print(json.dumps({"running": replicas, "equal": equal, "counted": sorted(map(float, counted))}))
serve.shutdown()
ray.shutdown()
"""


def test_arguments_are_checked() -> None:
    assert Arguments(weights="w").replicas == 2
    for wrong in ({}, {"weights": "w", "replicas": 0}, {"weights": "w", "key": "k"}):
        with pytest.raises(ValidationError):
            Arguments.model_validate(wrong)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed: the extra 'ray'")
def test_two_replicas_give_the_same_answers(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(WEIGHTS)], cwd=tmp_path, capture_output=True, text=True, check=False,
        env={
            **os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0",
            "HOME": str(tmp_path),  # Ray writes a token there
            "RAY_raylet_start_wait_time_s": "600",  # a busy machine takes longer than Ray waits
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["running"] == {"RUNNING": 2}
    assert found["equal"] == [True] * 4
    assert sum(found["counted"]) == 48  # both replicas have computed, and nothing twice
    assert len(found["counted"]) == 2
