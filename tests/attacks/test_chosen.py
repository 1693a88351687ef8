"""The attack ``chosen`` in an audit: it undoes a fixed scheme, and elsewhere neither clears nor blocks."""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch

from privaudit.auditing.opening import Settings
from privaudit.auditing.run import run_audit
from privaudit.auditing.spec import parse_spec
from privaudit.contracts import plugin
from privaudit.contracts.defense import Defense
from privaudit.results.baseline import make_baseline
from privaudit.results.gate import check
from privaudit.results.overall import Verdict, overall
from privaudit.results.record import Finding, Record

Blobs = Callable[..., dict[str, Any]]


def audited(blobs: Blobs, out: Path, defense: Any, attacks: list[Any]) -> Record:
    return run_audit(parse_spec(blobs(defense, attacks), "test"), Settings(out=out)).record


def mine(record: Record) -> Finding:
    return next(f for f in record.primary() if f.attack == "chosen")


def test_an_orthogonal_map_is_undone(blobs: Blobs, tmp_path: Path) -> None:
    record = audited(blobs, tmp_path, {"name": "orthogonal", "block": 4}, ["chosen"])
    found = mine(record)
    assert found.verdict is Verdict.LEAK
    assert (found.estimate or 0) > 0.99
    assert found.fits
    assert all(health.passed for health in record.health)


def test_it_is_not_run_where_others_are_mixed_in(blobs: Blobs, tmp_path: Path) -> None:
    record = audited(blobs, tmp_path, "mixup", ["chosen", "average"])
    assert not [f for f in record.findings if f.attack == "chosen"]
    (item,) = [item for item in record.skipped if item.attack == "chosen"]
    assert "mixes others' in" in item.error


@pytest.mark.parametrize("defense", ["noise", {"name": "pure-noise", "views": 1}])
def test_schemes_with_fresh_keys_are_said_not_to_fit(blobs: Blobs, tmp_path: Path, defense: Any) -> None:
    record = audited(blobs, tmp_path, defense, ["chosen"])
    found, atlas = mine(record), next(f for f in record.findings if (f.attack, f.metric) == ("atlas", "ms_ssim"))
    assert found.estimate == atlas.estimate  # to the last bit
    assert (found.verdict, found.fits) == (Verdict.INCONCLUSIVE, False)
    assert found.reason.startswith("the attack is not made for such schemes: ")
    assert any(not health.passed for health in record.health if health.attack == "chosen")
    assert record.verdict is not Verdict.NO_LEAK_DETECTED, "it clears nothing"


def test_few_keys_are_no_excuse(blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise of one of 200 seeds: nobody learns anything of it, and whoever tries all seeds has everything."""
    cls = plugin.load("defenses", "pure-noise", Defense)
    draw = cls.draw_key
    monkeypatch.setattr(
        cls, "draw_key", lambda self, shape, pool, rng: draw(self, shape, pool, Random(rng.randrange(200)))
    )
    data = blobs({"name": "pure-noise", "views": 1}, ["invert", "chosen"], dataset={"subjects": 60})
    record = run_audit(parse_spec(data, "test"), Settings(out=tmp_path)).record
    assert record.verdict is Verdict.INCONCLUSIVE
    found = mine(record)
    assert found.fits
    assert any("fresh keys that were there before" in health.name and not health.passed for health in record.health)


def test_its_silence_does_not_block_what_another_attack_clears(blobs: Blobs, tmp_path: Path) -> None:
    """Of 32 people a picture attack can be cleared; the audit says so whether or not 'chosen' stands beside."""
    data = blobs({"name": "pure-noise", "views": 1}, ["invert", "chosen"], dataset={"subjects": 60})
    record = run_audit(parse_spec(data, "test"), Settings(out=tmp_path)).record
    others = [f for f in record.findings if f.attack != "chosen"]
    assert overall(others, [])[0] is Verdict.NO_LEAK_DETECTED
    assert record.verdict is Verdict.NO_LEAK_DETECTED, record.reason
    assert "do not fit the scheme" in record.reason
    assert check(record, make_baseline(record)).exit_code == 0
    assert overall([mine(record)], [])[0] is Verdict.INCONCLUSIVE


def test_it_encodes_no_victim(blobs: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that goes through its copy of the scheme are images of its own."""
    from privaudit.learning import chosen

    cls, seen = plugin.load("defenses", "orthogonal", Defense), []
    encode, broken = cls.encode, chosen.break_scheme

    def watched(self: Any, image: torch.Tensor, *rest: Any) -> Any:
        if probing:
            seen.append(image.clone())
        return encode(self, image, *rest)

    def noted(*arguments: Any) -> Any:
        probing.append(1)
        try:
            return broken(*arguments)
        finally:
            probing.clear()

    probing: list[int] = []
    monkeypatch.setattr(cls, "encode", watched)
    monkeypatch.setattr(chosen, "break_scheme", noted)
    chosen._LAST.clear()
    audited(blobs, tmp_path, {"name": "orthogonal", "block": 4, "seed": 7}, ["chosen"])
    assert len(seen) > 100
    from privaudit.contracts.cohort import Dataset
    from privaudit.imaging.patches import as_tensor

    cohort = plugin.create("datasets", "blobs", Dataset, {"subjects": 24}).open()
    scans = torch.stack([as_tensor(cohort.load(scan).image) for scan in cohort.scans])
    assert min(float((scans - probe).abs().amax(dim=(1, 2, 3)).min()) for probe in seen[:50]) > 0.05
