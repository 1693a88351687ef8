"""Two replicas under Ray Serve give what one process gives, to the last bit."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from privaudit.errors import OptionError
from privaudit.serving.replicas import Arguments, app

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

def start(attempts):
    try:
        ray.init(
            num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=100 * 2**20,
            _temp_dir=sys.argv[3],
        )
    except Exception as error:  # Ray waits 30 s for its own processes, and nothing sets that: a busy machine is slower
        if "timed out during startup" not in str(error) or attempts == 1:
            raise
        ray.shutdown()
        start(attempts - 1)

torch.set_num_threads(1)
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
start(4)
serve.start(http_options={"host": "127.0.0.1", "port": port})
serve.run(app(Arguments(weights=sys.argv[1], replicas=2, threads=1, device="cpu")))
replicas = serve.status().applications["default"].deployments["segmentation"].replica_states
patches = torch.rand((8, 32, 32, 32), generator=torch.Generator().manual_seed(0))
truth = Server(load_weights(Path(sys.argv[1])).networks.segmentation, 32, torch.device("cpu"), steady=True)
truth = truth.respond(patches)
equal, counted = [], set()

def ask(count):
    with Connection(Address(f"http://127.0.0.1:{port}")) as connection:
        remote = RemoteServer(connection, 32, 4)
        remote.check()
        for _ in range(3):
            equal.append(torch.equal(remote.respond(patches[:count]), truth[:count]))

threads = [threading.Thread(target=ask, args=(count,)) for count in (1, 2, 4, 8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
for _ in range(60):  # each replica counts by itself
    with Connection(Address(f"http://127.0.0.1:{port}")) as connection:
        lines = connection.get("/metrics").text.splitlines()
        counted.add(next(line.split()[1] for line in lines if line.startswith("privaudit_patches_total")))
found = {"running": replicas, "equal": equal, "counted": sorted(map(float, counted))}
Path(sys.argv[2]).write_text(json.dumps(found))  # Ray writes to stdout as well
serve.shutdown()
ray.shutdown()
"""
REASON = "Ray is not installed: the extra 'ray'"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "'weights' is missing"),
        ({"weights": "w", "replicas": "0"}, "'replicas' must be at least 1"),
        ({"weights": "w", "key": "k"}, "'key' is unknown; allowed: weights, model, replicas, most, threads, device"),
        ({"weights": "w", "most": 1}, "most is 1, and replicas is 2; ask for at least as many as replicas"),
    ],
)
def test_arguments_are_checked(given: dict[str, Any], said: str) -> None:
    assert Arguments(weights="w").replicas == 2
    with pytest.raises(OptionError, match=f"these replicas cannot be started: {said}"):
        app(given)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Ray's own
def test_most_is_what_ray_scales_up_to(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason=REASON)
    from ray import serve

    real, told = serve.deployment, dict[str, Any]()
    monkeypatch.setattr(serve, "deployment", lambda **options: told.update(options) or real(**options))
    app({"weights": "phantom-mixup", "replicas": "1", "most": "3", "threads": "2"})  # as 'serve run' hands it over
    assert told["autoscaling_config"] == {"min_replicas": 1, "max_replicas": 3}
    assert told["ray_actor_options"] == {"num_cpus": 2}
    assert "num_replicas" not in told
    told.clear()
    app(Arguments(weights="phantom-mixup", replicas=3))
    assert told["num_replicas"] == 3
    assert "autoscaling_config" not in told


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason=REASON)
def test_two_replicas_give_the_same_answers(tmp_path: Path) -> None:
    found_at = tmp_path / "found.json"
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as short:  # paths of sockets are short
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(WEIGHTS), str(found_at), short],
            cwd=tmp_path, capture_output=True, text=True, check=False, timeout=1200,
            env={
                **os.environ, "OMP_NUM_THREADS": "1", "RAY_USAGE_STATS_ENABLED": "0",
                "HOME": str(tmp_path),  # Ray writes a token there
                "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "120",  # a busy machine takes longer than Ray waits
                "RAY_worker_register_timeout_seconds": "300",
            },
        )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = json.loads(found_at.read_text())
    assert found["running"] == {"RUNNING": 2}
    assert found["equal"] == [True] * 12
    assert len(found["counted"]) == 2
    assert all(found["counted"])  # both replicas have computed
    assert sum(found["counted"]) == 45  # and nothing twice; an odd number, so that two counts are never one
