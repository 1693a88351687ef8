"""Attackers who hold too few people to learn from say so, and do not fail."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from privaudit.auditing.opening import Settings
from privaudit.auditing.run import run_audit
from privaudit.auditing.spec import parse_spec
from privaudit.results.overall import Verdict

LEARNING = [
    {"name": "invert", "effort": ["linear", "network"]}, "unwrap", {"name": "unwrapped-reid", "protocols": ["encoded"]},
    {"name": "inverted-reid", "protocols": ["encoded"]},
]  # fmt: skip


@pytest.mark.parametrize(("people", "held"), [(7, 1), (8, 2)])
@pytest.mark.parametrize("defense", ["mixup", "none"])
def test_with_one_or_two_people_nothing_is_learned_and_silence_is_inconclusive(
    defense: str, people: int, held: int, blobs: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    split = {"victims": 4 / people, "pool": 2 / people, "population": held / people}
    data = blobs(defense, LEARNING, dataset={"subjects": people}, split=split, utility={"weights": "none"})
    record = run_audit(parse_spec(data, "test"), Settings(out=tmp_path)).record
    assert record.dataset.split["population"] <= 2
    assert not record.missing
    decided = [f for f in record.primary() if f.attack in ("invert", "unwrap", "unwrapped-reid")]
    assert decided
    assert {f.verdict for f in decided} == {Verdict.INCONCLUSIVE}
