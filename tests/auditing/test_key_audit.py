"""Sound keys pass, and planted faults of what draws them are found."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from privaudit.auditing.key_audit import audit_keys, shortest_period
from privaudit.cli import main
from privaudit.contracts import plugin
from privaudit.contracts.cohort import Volume
from privaudit.contracts.defense import Defense
from privaudit.errors import OptionError
from privaudit.imaging.patches import Shape
from privaudit_defenses.mixup import MixupDefense, MixupKey
from tests.made import Made, noise

KEYS = 300


def faults(defense: Defense, rng: random.Random | None = None, keys: int = KEYS) -> set[str]:
    """The first words of the checks that failed."""
    checks = audit_keys(defense, keys, rng or random.Random(0))
    return {" ".join(check.name.split()[:3]) for check in checks if not check.passed}


def mixup(**options: Any) -> Defense:
    return plugin.create("defenses", "mixup", Defense, options)


class Circle(random.Random):
    """A generator with the period 7 in everything that is drawn from it."""

    def __init__(self) -> None:
        super().__init__(0)
        self.values, self.at = [super(Circle, self).random() for _ in range(7)], 0

    def random(self) -> float:
        self.at = (self.at + 1) % 7
        return self.values[self.at]

    def getrandbits(self, k: int) -> int:
        return int(self.random() * 2**k)


class Broken(MixupDefense):
    """Mixup whose keys are spoiled by a function of key and number."""

    name = "mixup"
    count = 0

    def __init__(self, spoil: Callable[[MixupKey, int], None], **options: Any) -> None:
        super().__init__(MixupDefense.Options(**options))
        self.spoil = spoil

    def draw_key(self, shape: Shape, pool: Sequence[Volume], rng: random.Random) -> MixupKey:
        key = super().draw_key(shape, pool, rng)
        self.spoil(key, self.count)
        self.count += 1
        return key


class Repeating(MixupDefense):
    """Mixup that begins anew every 50 keys."""

    name = "mixup"
    count = 0

    def draw_key(self, shape: Shape, pool: Sequence[Volume], rng: random.Random) -> MixupKey:
        self.count += 1
        return super().draw_key(shape, pool, random.Random(self.count % 50))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"alpha": (0.2, 0.7), "alpha_per": "request", "views": 3},
        {"alpha_per": "patch", "fresh_alpha": True, "references": 2, "reference_weights": "simplex", "views": 2},
        {"reference_per": "patch", "reference_position": "random", "views": 2},
        {"patch_size": None, "reference_reuse": "never"},
    ],
)
def test_sound_keys_pass(options: dict[str, Any]) -> None:
    assert not faults(mixup(**options), random.Random(1))
    # Without a seed two checks of each audit fail once in a thousand audits; never three times running.
    assert not all(faults(mixup(**options), random.SystemRandom()) for _ in range(3))


def test_equal_seeds_give_equal_figures() -> None:
    first, second = (audit_keys(mixup(), KEYS, random.Random(5)) for _ in range(2))
    assert [(c.name, c.passed, str(c.figure)) for c in first] == [(c.name, c.passed, str(c.figure)) for c in second]


def test_keys_that_come_again_are_found() -> None:
    found = faults(Repeating())
    assert {"keys that were", "references mixed in", "period of the"} <= found


def test_a_generator_with_a_short_period_is_found() -> None:
    checks = audit_keys(mixup(), KEYS, Circle())
    periods = {check.name: check.figure for check in checks if check.name.startswith("period")}
    assert not any(check.passed for check in checks if check.name.startswith("period"))
    assert all(figure % 7 == 0 or 7 % figure == 0 for figure in periods.values()), periods


def test_biased_weights_are_found() -> None:
    def square(key: MixupKey, number: int) -> None:
        key.draw.alpha[:] = key.draw.alpha**1.3

    def beyond(key: MixupKey, number: int) -> None:
        key.draw.alpha[:] = key.draw.alpha * 0.9 + 0.1

    assert faults(Broken(square), keys=1000) == {"mixing weights uniform"}
    assert faults(Broken(beyond), keys=1000) == {"mixing weights uniform"}


def test_a_biased_choice_of_references_is_found() -> None:
    def favourite(key: MixupKey, number: int) -> None:
        if number % 12 == 0:
            key.draw.subjects[0] = 3

    assert faults(Broken(favourite, views=1), keys=1000) == {"references drawn equally"}


def test_one_weight_for_all_hides_two_targets_alike() -> None:
    assert faults(mixup(alpha=0.5)) == {"references mixed in"}


def test_more_views_than_references_hide_one_target_alike() -> None:
    assert faults(mixup(views=25)) == {"references mixed in"}


def test_a_scheme_that_says_nothing_of_its_keys_is_judged_by_what_it_sends() -> None:
    assert not faults(Made(noise))
    assert faults(Made(lambda image, g: image)) == {"keys that were", "period of the"}


def test_what_cannot_be_audited_is_refused() -> None:
    with pytest.raises(OptionError, match="'none' has no keys"):
        audit_keys(plugin.create("defenses", "none", Defense), KEYS, random.Random(0))
    with pytest.raises(OptionError, match="too few keys to tell anything; got 100; allowed: at least 120"):
        audit_keys(mixup(), 100, random.Random(0))


@given(st.lists(st.integers(0, 2), min_size=1, max_size=6), st.integers(2, 5), st.integers(0, 5))
def test_the_shortest_period(circle: list[int], turns: int, more: int) -> None:
    values = (circle * (turns + 1))[: len(circle) * turns + more % len(circle)]
    found = shortest_period(values)
    assert found is not None
    assert found <= len(circle)
    assert values[found:] == values[:-found]
    by_hand = next(p for p in range(1, len(values)) if values[p:] == values[:-p])
    assert found == by_hand


def test_no_period_in_what_has_none() -> None:
    assert shortest_period(np.random.default_rng(0).random(500).tolist()) is None
    assert shortest_period([]) is None
    assert shortest_period([1]) is None


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--keys", "200", "--seed", "1"), 0, "200 keys of mixup from seed 1: no fault found"),
        (("--keys", "200", "--seed", "2", "--quiet"), 0, "200 keys of mixup from seed 2: no fault found"),
        (("--keys", "200", "--alpha", "0.5", "--quiet"), 4, "200 keys of mixup from the operating system's generator"),
        (("--keys", "200", "--alpha", "0.5"), 4, "FAULTY: references mixed in at the same place"),
        (("--keys", "20"), 2, "too few keys"),
        (("--defense", "none"), 2, "has no keys"),
        (("--defense", "mixpu"), 2, "did you mean 'mixup'"),
        (("--kees", "3"), 2, "did you mean '--keys'"),
    ],
)
def test_the_command(
    arguments: tuple[str, ...], code: int, message: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr("sys.argv", ["privaudit", "key-audit", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    shown = capsys.readouterr()
    assert stopped.value.code == code, shown
    assert message in (shown.err if code == 2 else shown.out)
    told = [line for line in shown.err.splitlines() if not line.startswith("keys: ")]  # progress
    assert len(told) == (code == 2)
    assert shown.err == "" or "--quiet" not in arguments
