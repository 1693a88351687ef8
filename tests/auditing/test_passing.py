"""A good scheme can pass, and does nearly always; half of the image in the same noise does not."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from privaudit.auditing.opening import Settings
from privaudit.auditing.run import run_audit
from privaudit.auditing.spec import parse_spec
from privaudit.contracts import plugin
from privaudit.contracts.defense import Defense
from privaudit.results.baseline import make_baseline
from privaudit.results.gate import check
from privaudit.results.overall import Verdict
from privaudit.results.record import Record

PEOPLE = 300
"""Half of them are victims: identity needs about 130 to pass at exactly chance."""


def audited(blobs: Callable[..., dict[str, Any]], out: Path, seed: int) -> Record:
    maps = {"name": "decode-maps", "maps": ["returned"]}
    data = blobs(
        {"name": "pure-noise", "views": 1, "answer": "noise"}, ["reid", "average", "invert", maps],
        dataset={"subjects": PEOPLE, "side": 28, "seed": seed}, seed=seed, scoring={"resamples": 500},
    )  # fmt: skip
    return run_audit(parse_spec(data, "test"), Settings(out=out)).record


@pytest.mark.slow
def test_noise_passes(blobs: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    record = audited(blobs, tmp_path / "run", 0)
    assert record.verdict is Verdict.NO_LEAK_DETECTED, [(f.key, f.verdict, f.reason) for f in record.primary()]
    found = {finding.key: finding for finding in record.primary()}
    assert found["invert/linear/target/ms_ssim"].baseline is not None
    assert found["invert/linear/target/ms_ssim"].baseline.difference == 0, "an encoding that tells nothing: the atlas"
    assert found["decode-maps/returned K=1/target/map_dice"].verdict is Verdict.NO_LEAK_DETECTED
    average = found["average/K=1/target/ms_ssim"]  # made for mixtures: worse than the atlas, and says nothing
    assert (average.fits, average.verdict) == (False, Verdict.INCONCLUSIVE)
    assert "say nothing, as these attacks do worse than not looking" in record.reason
    assert check(record, make_baseline(record)).exit_code == 0
    assert "can stay unseen" in found["reid/encoded/identity/map"].reason


@pytest.mark.slow
def test_the_same_noise_with_half_of_the_image_does_not(
    blobs: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cls = plugin.load("defenses", "pure-noise", Defense)
    encode = cls.encode

    def half(self: Any, image: Any, key: Any, views: int) -> Any:
        sent = encode(self, image, key, views)
        return replace(sent, views=0.5 * sent.views + 0.5 * image)

    monkeypatch.setattr(cls, "encode", half)
    record = audited(blobs, tmp_path / "run", 0)
    assert record.verdict is Verdict.LEAK
    found = {finding.attack: finding.verdict for finding in record.primary() if finding.fits}
    assert found == {"reid": Verdict.LEAK, "invert": Verdict.LEAK, "decode-maps": Verdict.NO_LEAK_DETECTED}
