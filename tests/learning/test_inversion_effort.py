"""``invert`` with ``--invert.effort``: which protocols that gives, and that the network keeps the attack's promises."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from privaudit.auditing.opening import Settings
from privaudit.auditing.run import run_audit
from privaudit.auditing.spec import parse_spec
from privaudit.contracts import plugin
from privaudit.contracts.attack import Attack
from privaudit.contracts.knowledge import Rung
from privaudit.errors import OptionError


def test_efforts_are_protocols() -> None:
    def names(**options: object) -> list[str]:
        return [protocol.name for protocol in plugin.create("attacks", "invert", Attack, options).protocols(10)]

    assert names() == ["linear", "linear K=10"]
    assert names(effort="network") == ["network", "network K=10"]
    assert names(effort="[linear, network]") == ["linear", "linear K=10", "network", "network K=10"]
    attack = plugin.create("attacks", "invert", Attack, {"effort": "network", "returned": True})
    assert all(Rung.RETURNED in protocol.knowledge for protocol in attack.protocols(10))
    for wrong in ({"effort": "[]"}, {"effort": "[linear, linear]"}, {"returned": True}, {"effort": "deep"}):
        with pytest.raises(OptionError):
            plugin.create("attacks", "invert", Attack, wrong)


@pytest.mark.slow
def test_noise_is_silence_and_a_planted_leak_is_found(blobs: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    attack = {"name": "invert", "effort": "network", "steps": 20}
    data = blobs({"name": "pure-noise", "views": 1}, [attack], dataset={"subjects": 32, "sessions": 1, "side": 28})
    record = run_audit(parse_spec(data, "test"), Settings(out=tmp_path / "run")).record
    assert not record.missing
    finding = next(finding for finding in record.primary() if finding.attack == "invert")
    assert finding.protocol == "network"
    assert finding.baseline is not None
    assert finding.baseline.difference == 0
    assert finding.control is not None
    assert finding.control.passed
