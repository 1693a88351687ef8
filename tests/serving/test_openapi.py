"""The OpenAPI description says what the server does; a fuzzer that reads it finds nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import jsonschema
import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="needs the extra 'serve'")

from starlette.applications import Starlette
from starlette.routing import Route

from privaudit.serving.app import Service, make_app
from privaudit.serving.limits import MB, Limits
from privaudit.wire.messages import INPUT
from tests.serving.stub import StubEngine, served

CASES = os.environ.get("PRIVAUDIT_FUZZ_CASES", "25")
PATCHES = np.random.default_rng(0).random((2, 1, 4, 4, 4), dtype=np.float32)


def told(port: int) -> dict[str, Any]:
    answer = httpx2.get(f"http://127.0.0.1:{port}/openapi.json", trust_env=False)
    found: dict[str, Any] = answer.json()
    return found


def test_every_page_and_every_status_is_described() -> None:
    app = make_app(Service(StubEngine()))
    assert isinstance(app, Starlette)
    pages = {route.path for route in app.routes if isinstance(route, Route)}
    with served() as port:
        described = told(port)
    assert described["paths"].keys() == pages - {"/openapi.json"}
    source = "".join(path.read_text() for path in (Path(__file__).parents[2] / "privaudit" / "serving").glob("*.py"))
    statuses = set(re.findall(r"HTTPException\((\d{3})", source))
    assert len(statuses) > 5
    assert statuses <= described["paths"]["/v2/models/{name}/infer"]["post"]["responses"].keys()


def test_requests_and_answers_are_as_described() -> None:
    tensor = {"name": INPUT, "shape": [2, 1, 4, 4, 4], "datatype": "FP32", "data": PATCHES.ravel().tolist()}
    request = {"id": "x", "inputs": [tensor]}
    with served() as port:
        described = told(port)
        url = f"http://127.0.0.1:{port}/v2/models/segmentation/infer"
        answer = httpx2.post(url, json=request, trust_env=False).json()
        refusal = httpx2.post(url, json={}, trust_env=False).json()

    def check(name: str, data: Any) -> None:
        schema = {"$ref": f"#/components/schemas/{name}", "components": described["components"]}
        jsonschema.validate(data, schema)

    check("Request", request)
    check("Answer", answer)
    check("Error", refusal)
    with pytest.raises(jsonschema.ValidationError):
        check("Request", {})
    with pytest.raises(jsonschema.ValidationError):
        check("Answer", refusal)


@pytest.mark.slow
def test_schemathesis_finds_nothing_that_is_not_described(tmp_path: Path) -> None:
    beside = Path(sys.executable).with_name("schemathesis")
    program = str(beside) if beside.exists() else shutil.which("schemathesis")
    if program is None:
        pytest.skip("schemathesis is not installed (pip install schemathesis; an environment of its own will do)")
    # A valid JSON need not be a valid request: no schema says that a tensor has as many values as its shape.
    left_out = "positive_data_acceptance"
    with served(limits=Limits(body=MB, patches=64, voxels=4096, receive=5)) as port:
        done = subprocess.run(
            [
                program, "run", f"http://127.0.0.1:{port}/openapi.json", "--checks", "all",
                "--exclude-checks", left_out, "--max-examples", CASES, "--seed", "1", "--no-color",
            ],
            cwd=tmp_path, capture_output=True, text=True, check=False, env={**os.environ, "COLUMNS": "120"},
        )  # fmt: skip
    if "PRIVAUDIT_FUZZ_CASES" in os.environ:
        print(done.stdout)
    assert done.returncode == 0, done.stdout[-6000:]
    assert json.loads(re.search(r"(\d+) generated", done.stdout)[1]) > 100  # type: ignore[index]
