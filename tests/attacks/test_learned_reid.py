"""Re-identification by a learned metric: protocols, repetitions and what is refused."""

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
from privaudit.errors import OptionError
from privaudit.scoring.curves import spread_of


def test_repeats_are_a_curve_and_the_first_decides() -> None:
    attack = plugin.create("attacks", "learned-reid", Attack, {"protocols": ["encoded"], "repeats": 3})
    protocols = attack.protocols(1)
    assert [p.name for p in protocols] == ["encoded", "encoded repeat=2", "encoded repeat=3"]
    assert [p.primary for p in protocols] == [True, False, False]
    assert {p.curve for p in protocols} == {"training, encoded"}


def test_more_views_than_are_sent_are_refused() -> None:
    attack = plugin.create("attacks", "learned-reid", Attack, {"views": 3})
    with pytest.raises(OptionError, match="cannot average more views"):
        attack.protocols(2)


@pytest.mark.slow
def test_every_repeat_is_in_the_record(blobs: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    attack = {"name": "learned-reid", "repeats": 2, "steps": 4}
    record = run_audit(parse_spec(blobs("mixup", [attack]), "test"), Settings(out=tmp_path / "run")).record
    assert not record.missing
    for finding in record.primary():
        (curve,) = [line for line in finding.curves if line.name.startswith("training, ")]
        assert curve.x == [1.0, 2.0], "each protocol's repetitions are its own"
        assert curve.y[0] == pytest.approx(finding.estimate)
        assert finding.notes == [spread_of(curve.y)]
