"""What the process of a server has imported and opened: nothing that knows of keys, references or unmixing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="needs the extra 'serve'")

from privaudit.wire.messages import INPUT, LENGTH_HEADER, OUTPUT, read_answer
from privaudit.wire.writing import write_request

SHIPPED = Path(__file__).parents[2] / "privaudit" / "segmentation" / "shipped" / "phantom-mixup"
WATCHED = """
import json, signal, sys
opened = []
sys.addaudithook(lambda event, values: opened.append(str(values[0])) if event == "open" else None)
signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn stops, and raises the signal again
from privaudit.cli import main
sys.argv = ["privaudit", "serve", "--weights", sys.argv[1], "--port", "0", "--device", "cpu", "--threads", "1"]
try:
    main()
except SystemExit:
    pass
print(json.dumps({"modules": sorted(sys.modules), "opened": opened}))
"""
ALLOWED = {
    "cli", "devices", "errors", "files", "segmentation.server", "segmentation.server_net", "serving", "validation",
    "wire",
}  # fmt: skip
"""What a server may import of privaudit; options of other commands (``cli``) import what they need when they run."""


@pytest.mark.slow
def test_a_server_has_imported_and_opened_nothing_but_its_network() -> None:
    server = subprocess.Popen(
        [sys.executable, "-c", WATCHED, str(SHIPPED)], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert server.stdout is not None
    try:
        url = server.stdout.readline().split(" at ")[1].split(";")[0]
        body, header = write_request("x", {INPUT: np.zeros((1, 1, 32, 32, 32), np.float32)}, [OUTPUT])
        headers = {LENGTH_HEADER: str(header)}
        answer = httpx2.post(
            f"{url}/v2/models/segmentation/infer", content=body, headers=headers, timeout=300, trust_env=False
        )
        assert read_answer(answer.content, answer.headers[LENGTH_HEADER])[1][OUTPUT].shape == (1, 4, 32, 32, 32)
        server.send_signal(signal.SIGTERM)
        told = json.loads(server.stdout.readline())
    finally:
        server.kill()
        server.wait()
        server.stdout.close()
    own = {name.removeprefix("privaudit.") for name in told["modules"] if name.startswith("privaudit.")}
    strange = {name for name in own if not any(name == a or name.startswith(f"{a}.") for a in ALLOWED)}
    assert strange <= {"_version", "segmentation"}
    assert not [name for name in told["modules"] if name.startswith("privaudit_")]
    read = {Path(path).name for path in told["opened"] if Path(path).is_relative_to(SHIPPED.parent)}
    assert read == {"config.json", "segmentation.safetensors"}
