"""An independent witness: what mitmproxy recorded is what our own proxy records, and is audited alike."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("uvicorn", reason="needs the extra 'serve'")

from privaudit.auditing.opening import Settings, open_context
from privaudit.auditing.run import run_audit
from privaudit.auditing.sending import send_cohort
from privaudit.auditing.spec import parse_spec
from privaudit.traffic.flows import Flow
from privaudit.traffic.har import read_har, write_har
from tests.auditing.test_wire import DATA, FourClasses, captured, connected
from tests.serving.stub import served

PROGRAM = shutil.which("mitmdump")
WHY = "mitmdump is not on PATH: install mitmproxy in an environment of its own (its pins exclude ours), and add its bin"


@contextmanager
def mitmproxy(upstream: int, folder: Path) -> Iterator[int]:
    """mitmproxy before a server; at the end it has written ``traffic.har``."""
    assert PROGRAM is not None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"hardump": folder / "traffic.har", "confdir": folder, "termlog_verbosity": "error"}
    command = [PROGRAM, "--mode", f"reverse:http://127.0.0.1:{upstream}", "--listen-host", "127.0.0.1"]
    command += ["--listen-port", str(port)]
    for name, value in settings.items():
        command += ["--set", f"{name}={value}"]
    proxy = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert proxy.poll() is None, "mitmproxy did not start"
            time.sleep(0.1)
        yield port
        proxy.send_signal(signal.SIGINT)  # then it writes the archive
        proxy.wait(60)
    finally:
        proxy.kill()
        proxy.wait()


def said(flows: list[Flow]) -> list[tuple[object, ...]]:
    """What was asked in which order, with which headers, and how long bodies were; ids and ports are random."""
    return [
        (
            flow.method, flow.target, len(flow.body), flow.status,
            *(sorted((name.lower(), value) for name, value in headers if name.lower() != "host")
              for headers in (flow.headers, flow.answer_headers)),
        )
        for flow in flows
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(PROGRAM is None, reason=WHY)
def test_the_audit_of_what_mitmproxy_saw_is_that_of_our_own_capture(thirdparty: Path, tmp_path: Path) -> None:
    spec = parse_spec(DATA, "test")
    scene = open_context(spec, Settings(device="cpu"))[0].scene
    with served(FourClasses()) as port, mitmproxy(port, tmp_path) as proxy:
        send_cohort(scene, lambda: connected(f"http://127.0.0.1:{proxy}"), lambda _: None)
    own = captured(scene)
    write_har(tmp_path / "own.har", own, "127.0.0.1:1")
    assert said(read_har(tmp_path / "traffic.har")) == said(own)
    records = []
    for name in ("traffic", "own"):
        settings = Settings(out=tmp_path / name, device="cpu", traffic=tmp_path / f"{name}.har")
        result = run_audit(spec, settings)
        assert result.leaks == ()
        records.append(result.record.stable())
    assert records[0]["findings"] == records[1]["findings"]
    assert len(records[0]["findings"]) > 2
    assert records[0]["verdict"] == records[1]["verdict"]
