"""Where keys come from, and what of the pool they may use."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import privaudit.contracts.keys as contract
from privaudit.auditing.run import run_audit
from privaudit.auditing.scene import Scene
from privaudit.auditing.spec import parse_spec
from privaudit.contracts import plugin
from privaudit.contracts.cohort import Dataset, split_subjects
from privaudit.contracts.defense import Defense
from privaudit.contracts.keys import client_key
from privaudit.errors import DataError, OptionError
from privaudit.segmentation.ledger import unspent
from privaudit_defenses.mixup import MixupKey

pytestmark = pytest.mark.usefixtures("thirdparty")


def scene(pool: float = 0.5, subjects: int = 32, **options: Any) -> Scene:
    cohort = plugin.create("datasets", "blobs", Dataset, {"subjects": subjects, "sessions": 1}).open()
    split = split_subjects(cohort.subjects, 0, 0.25, pool, 0.75 - pool)
    return Scene(cohort, split, plugin.create("defenses", "mixup", Defense, options), 0)


def drawn(scene: Scene, request: str) -> np.ndarray[Any, Any]:
    """The pool's people in each view of a request, [V, N, k], by their place in the whole pool."""
    key = scene._key_of(request)
    assert isinstance(key, MixupKey)
    share = np.array(scene._references.share(request))
    people: np.ndarray[Any, Any] = share[key.draw.subjects]
    return people


class Watched(random.SystemRandom):
    """The operating system's generator, which says when it is asked."""

    asked = 0

    def random(self) -> float:
        Watched.asked += 1
        return super().random()


def test_a_client_draws_from_the_operating_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "SystemRandom", Watched)
    here, before = scene(), Watched.asked
    client_key(here.defense, here.cohort.shape, here.pool)
    assert Watched.asked > before


def test_no_module_outside_audits_draws_keys_another_way() -> None:
    """Only the engine and attackers call ``draw_key`` themselves: clients go through ``client_key``."""
    root = Path(contract.__file__).parents[1]
    callers = {file.parent.name for file in root.rglob("*.py") if ".draw_key(" in file.read_text()}
    assert callers == {"auditing", "contracts", "learning"}


@pytest.mark.parametrize("rng", [random.Random(0), random.Random()])
def test_a_seeded_generator_is_refused(rng: random.Random) -> None:
    here = scene()
    with pytest.raises(OptionError, match="come from the operating system.*got a seeded Random.*leave seeds to audits"):
        client_key(here.defense, here.cohort.shape, here.pool, rng)


@pytest.mark.parametrize("per", ["volume", "patch"])
def test_no_reference_serves_twice(per: str) -> None:
    here = scene(views=2, patch_size=16, reference_per=per, reference_reuse="never")
    assert (len(here.requests), len(here.pool)) == (8, 16)
    seen: list[int] = []
    for request in here.requests:
        for view in drawn(here, request):
            people = np.unique(view).tolist()
            assert not set(people) & set(seen)
            seen += people
    assert sorted(seen) == list(range(16)), "two views of eight scans are as many as there are"


def test_the_owner_is_whose_image_was_mixed_in() -> None:
    here = scene(views=2, patch_size=None, reference_reuse="never")
    for request in here.requests:
        other = here.bystander(request)
        assert other is not None
        person = here.split.pool[int(drawn(here, request)[0, 0, 0])]
        assert here.owner(request) == here._owner_alias[person]
        image = here.cohort.load(here.cohort.sessions_of(person)[0]).image
        np.testing.assert_allclose(other.numpy(), image, atol=1e-6)


def test_which_part_is_whose_differs_from_audit_to_audit() -> None:
    first = scene(views=2, reference_reuse="never")
    second = Scene(first.cohort, first.split, first.defense, 1)
    parts = [[sorted(s._references.share(request)) for request in s.requests] for s in (first, second)]
    assert parts[0] != parts[1]


def test_a_pool_that_runs_out_is_one_clear_line(blobs: Callable[..., dict[str, Any]]) -> None:
    with pytest.raises(OptionError, match="got 16 scans; allowed: at least 24: 3 views × 1 references × 8 scans"):
        scene(views=3, reference_reuse="never")
    data = blobs("mixup", ["as-is"])
    data["defense"] = {"name": "mixup", "reference_reuse": "never"}
    with pytest.raises(OptionError, match="the reference pool is too small to use no scan twice"):
        run_audit(parse_spec(data, "test"))
    here = scene()
    never = plugin.create("defenses", "mixup", Defense, {"views": 17, "reference_reuse": "never"})
    with pytest.raises(OptionError, match="got 16 scans; allowed: at least 17, 1 for each of 17 views"):
        never.draw_key(here.cohort.shape, here.pool, random.Random(0))


def test_by_default_all_is_as_it_was() -> None:
    here = scene()
    assert here._references.of(here.requests[0]) is here.pool
    assert not here.defense.spends_references


def test_the_ledger_of_a_client(tmp_path: Path) -> None:
    here = scene()
    cohort, ledger = here.cohort, tmp_path / "used.txt"
    pool = {person: cohort.load(cohort.sessions_of(person)[0]) for person in here.split.pool}
    left = []
    for _ in range(3):
        with unspent(ledger, cohort, pool) as (volumes, spend):
            left.append(len(volumes))
            spend((0, 2))
    assert left == [16, 14, 12]
    assert len(set(ledger.read_text().split())) == 6
    ledger.write_text("names, dates\n")
    with pytest.raises(DataError, match="no ledger of references"), unspent(ledger, cohort, pool):
        pass
