"""The attack on all requests at once: what more requests tell, and mixtures in half precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from privaudit.auditing.opening import Settings, open_context
from privaudit.auditing.run import run_audit
from privaudit.auditing.spec import AuditSpec, parse_spec
from privaudit.contracts import plugin
from privaudit.contracts.attack import Attack, Protocol
from privaudit.contracts.knowledge import Rung
from privaudit.errors import PluginError
from privaudit.results.record import Finding, Record


def spec(**joint: Any) -> AuditSpec:
    """Sixteen people, one scan each, through mixup with a pool of eight."""
    data = {
        "dataset": {"name": "phantom", "subjects": 32, "sessions": 1, "voxel_mm": 4},
        "defense": {"name": "mixup", "patch_size": None, "views": 5, "precision": joint.pop("precision", "float32")},
        "attacks": [{"name": "joint", **joint}],
        "split": {"victims": 0.5, "pool": 0.25, "population": 0.25},
        "controls": "single",
        "utility": {"weights": "none"},
        "scoring": {"resamples": 500},
    }
    return parse_spec(data, "test")


def audited(run: Path, **joint: Any) -> Record:
    return run_audit(spec(**joint), Settings(out=run, device="cpu")).record


def figure(record: Record, protocol: str) -> Finding:
    """MS-SSIM of the person scanned."""
    [found] = [
        f
        for f in record.findings
        if (f.attack, f.protocol, f.victim, f.metric) == ("joint", protocol, "target", "ms_ssim")
    ]
    return found


def test_more_requests_tell_more_and_the_card_gets_the_curve(tmp_path: Path) -> None:
    record = audited(tmp_path / "run", requests=[2, 8], views=[2])
    found = figure(record, "K=5")
    curve = next(c for c in found.curves if c.name == "requests that the server has")
    assert curve.x == [2, 8, 16]
    assert curve.y == [figure(record, name).estimate for name in ("K=5 requests=2", "K=5 requests=8", "K=5")]
    assert curve.y[0] < curve.y[1] < curve.y[2]
    assert next(c for c in found.curves if c.name == "views").x == [2, 5]


def test_half_precision_is_no_obstacle(tmp_path: Path) -> None:
    context, _ = open_context(spec(precision="float16"), Settings(out=tmp_path / "run", device="cpu"))
    sent = context.scene.transcript(context.scene.requests[0], views=5).views
    assert torch.equal(sent, sent.half().float())
    found = figure(audited(tmp_path / "run", precision="float16"), "K=5")
    assert found.estimate is not None
    assert found.estimate > 0.98


@pytest.mark.parametrize("bad", [{"requests": 2, "primary": True}, {"requests": 0, "primary": False}])
def test_a_protocol_of_some_requests_at_a_time_must_not_decide(
    bad: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rungs = frozenset({Rung.TRANSCRIPT, Rung.ATLAS, Rung.VIEWS})
    cls = plugin.load("attacks", "joint", Attack)
    monkeypatch.setattr(cls, "protocols", lambda *_: (Protocol("all", rungs, 5), Protocol("some", rungs, 5, **bad)))
    with pytest.raises(PluginError, match="hands over some requests at a time"):
        audited(tmp_path / "run")
