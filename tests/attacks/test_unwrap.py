"""Audits: what a normal form undoes is a leak of image and identity, and noise leaves the atlas to the last bit."""

from __future__ import annotations

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
from privaudit.imaging.forms import PLACES
from privaudit.learning import unwrapping
from privaudit.learning.kept import Kept
from privaudit.results.overall import Verdict
from privaudit.results.record import Finding, Record


@pytest.fixture
def audit_of(
    blobs: Callable[..., dict[str, Any]], zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], Record]:
    # Rigid moves take most of the time; the conformance suite has them.
    monkeypatch.setattr(unwrapping, "PLACES", {name: form for name, form in PLACES.items() if "moved" not in name})
    monkeypatch.setattr(unwrapping, "_KEPT", Kept())

    def audit(defense: str) -> Record:
        attacks = ["unwrap", {"name": "unwrapped-reid", "protocols": ["encoded"]}]
        data = blobs(defense, attacks, dataset={"side": 28}, utility={"weights": "none"})
        record = run_audit(parse_spec(data, "test"), Settings(out=tmp_path / "run")).record
        assert not record.missing
        return record

    return audit


def main_figure(record: Record, attack: str, protocol: str = "") -> Finding:
    (found,) = (
        f for f in record.primary()
        if f.attack == attack and f.victim in ("target", "identity") and protocol in ("", f.protocol)
    )  # fmt: skip
    return found


def test_random_signs_hide_neither_image_nor_identity(audit_of: Callable[[str], Record]) -> None:
    record = audit_of("zoo-signs")
    image, identity = (main_figure(record, name) for name in ("unwrap", "unwrapped-reid"))
    assert image.verdict is Verdict.LEAK, image.reason
    assert image.estimate is not None
    assert image.estimate > 0.95
    assert image.knowledge == ["atlas", "population", "transcript"]
    assert identity.verdict is Verdict.LEAK, identity.reason
    assert identity.estimate is not None
    assert identity.estimate > 0.8
    (as_is,) = (other for other in image.comparisons if other.name == "as-is")
    assert as_is.difference is not None
    assert as_is.difference > 0.2, "without the form it would not show"


SHARES = """
def encode(image, rng):
    noise = 50 * rng.standard_normal(image.shape)
    return [noise, image + noise]
"""


def test_what_two_shares_tell_together_is_a_leak(audit_of: Callable[[str], Record], tmp_path: Path) -> None:
    """Each alone, and their mean, is noise."""
    (tmp_path / "shares.py").write_text(SHARES)
    record = audit_of(f"{tmp_path / 'shares.py'}:encode")
    image = main_figure(record, "unwrap")
    assert (image.protocol, image.verdict) == ("linear K=2", Verdict.LEAK), image.reason
    assert image.estimate is not None
    assert image.estimate > 0.99
    assert main_figure(record, "unwrapped-reid", "encoded").verdict is not Verdict.LEAK
    together = main_figure(record, "unwrapped-reid", "encoded K=2")
    assert together.knowledge == ["atlas", "population", "transcript", "views"]
    assert together.verdict is Verdict.LEAK, together.reason
    assert any("(sum of the parts, values)" in check.name for check in record.health)


def test_noise_is_no_leak_and_leaves_the_atlas(audit_of: Callable[[str], Record]) -> None:
    record = audit_of("pure-noise")
    assert {finding.protocol for finding in record.primary()} == {"linear K=4", "encoded"}, "views are drawn alike"
    assert all(finding.verdict is not Verdict.LEAK for finding in record.findings)
    image = main_figure(record, "unwrap")
    (atlas,) = (other for other in image.comparisons if other.name == "atlas")
    assert image.estimate == atlas.estimate
    assert atlas.difference == 0
    assert atlas.ci == (0, 0)


def test_protocols_and_what_they_know() -> None:
    unwrap, reid = (plugin.create("attacks", name, Attack) for name in ("unwrap", "unwrapped-reid"))
    assert [(p.name, p.views, Rung.VIEWS in p.knowledge) for p in unwrap.protocols(1)] == [("linear", 1, False)]
    assert [(p.name, p.views, Rung.VIEWS in p.knowledge) for p in unwrap.protocols(4)] == [("linear K=4", 4, True)]
    assert [(p.name, p.views, Rung.GALLERY in p.knowledge, p.unlike) for p in reid.protocols(4)] == [
        ("encoded", 1, False, False), ("raw-gallery", 1, True, False),
        ("encoded K=4", 4, False, True), ("raw-gallery K=4", 4, True, True),
    ]  # fmt: skip
    (only,) = plugin.create("attacks", "unwrapped-reid", Attack, {"protocols": ["raw-gallery"]}).protocols(1)
    assert only.name == "raw-gallery"
