"""Which protocols ``reid`` runs; its figures are tested by the conformance suite and those of MS-SSIM."""

from __future__ import annotations

import pytest

from privaudit.contracts.knowledge import Rung
from privaudit.errors import OptionError
from privaudit_attacks.reid import ReidAttack


def test_several_numbers_of_views_are_protocols_of_their_own_where_so_many_are_sent() -> None:
    attack = ReidAttack.from_values(views="[10, 1]")
    assert [(p.name, p.views) for p in attack.protocols(10)] == [
        ("encoded", 1), ("encoded K=10", 10), ("raw-gallery", 1), ("raw-gallery K=10", 10),
    ]  # fmt: skip
    assert all((Rung.VIEWS in p.knowledge) == (p.views > 1) for p in attack.protocols(10))
    assert all(p.primary for p in attack.protocols(10)), "averaged views are no lesser attack"
    assert [p.name for p in attack.protocols(1)] == ["encoded", "raw-gallery"]


def test_one_number_of_views_is_asked_of_the_defense() -> None:
    attack = ReidAttack.from_values(views="10")
    assert [(p.name, p.views) for p in attack.protocols(10)] == [("encoded", 10), ("raw-gallery", 10)]
    with pytest.raises(OptionError, match="more views than the defense sends; got 10; allowed: 1"):
        attack.protocols(1)
